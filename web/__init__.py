"""HTTP views: parse, look up or send, render."""
