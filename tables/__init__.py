"""Everything durable: key layout, codecs, the partition store and its micro-batches."""
