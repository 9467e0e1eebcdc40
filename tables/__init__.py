"""Everything durable: key layout, codecs, the partition store and its micro-batches."""

from tables import broken_connections

# Here, since whatever makes a client of Kafka imports something of this package first.
broken_connections.install()
