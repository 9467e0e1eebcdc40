"""Settings, logs and metric names."""
