"""Experiments: which variant wins, and how sure that is."""
