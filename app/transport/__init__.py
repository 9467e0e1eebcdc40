"""Subclasses of Faust transport and recovery: the micro-batch way through."""
