"""The catalogue's way: document, topic, snapshot on every worker."""
