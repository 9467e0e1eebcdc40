"""Settings, topics, metric names and samples."""
