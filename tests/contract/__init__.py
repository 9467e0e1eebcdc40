"""What clients written from the reference documents need, asked of a running worker."""
