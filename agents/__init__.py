"""Faust agents: decode, call one pure function, hand the result to the store and the producer."""
