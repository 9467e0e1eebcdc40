"""Behavioural metrics."""
