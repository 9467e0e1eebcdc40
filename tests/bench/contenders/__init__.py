"""The programs that `fold` compares: each consumes the same topic and keeps the same five metrics."""
