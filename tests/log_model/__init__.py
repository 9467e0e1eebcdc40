"""A log in memory with epochs, compaction and crash points, and whole workers driven on it."""
