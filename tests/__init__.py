"""Tests, by public seam."""
