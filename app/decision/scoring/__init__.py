"""Scores: how good a candidate is for this customer, by the method that its flow, or a variant, says."""
