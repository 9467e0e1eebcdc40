"""Contact policies, kind by kind, and against an oracle."""
