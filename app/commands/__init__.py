"""The commands of `offertide`, one file each."""
