"""What offers have shown of themselves: evidence, strategies that choose by it, and models of propensity."""
