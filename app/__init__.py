"""Offertide: a real-time next-best-action engine on Kafka, Faust and RocksDB."""
