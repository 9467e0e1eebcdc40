"""Benchmarks: `make bench`. They print and assert nothing about time, and never run with the tests."""
