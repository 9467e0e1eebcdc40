"""Apache Kafka for tests: fetched, started, killed and asked."""
