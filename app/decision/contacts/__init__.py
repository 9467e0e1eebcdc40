"""A customer's contacts as state keeps them: one by one, as totals of older ones, and reserved."""
