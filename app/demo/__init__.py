"""The demo: a music shop's real purchases through a whole Offertide on this machine."""
