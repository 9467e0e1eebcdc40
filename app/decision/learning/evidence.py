"""Evidence: how often something was shown and how often a customer responded.

Rules of this module:

1.  A tally is a sum over customers and partitions that may arrive in any order, so a positive can be there
    before its impression. Who divides uses `trials`, and no rate is ever above 1.
2.  `Rewards` is the seam to where tallies come from; a key without evidence has an empty tally.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """The evidence for one arm, category or tenant."""

    impressions: int = 0
    positives: int = 0

    @property
    def trials(self) -> int:
        """The impressions, but never fewer than the positives."""
        return max(self.impressions, self.positives, 0)

    @property
    def rate(self) -> float:
        """Positives per trial, 0 without any."""
        trials = self.trials
        return max(self.positives, 0) / trials if trials else 0.0


NOTHING = Tally()


class Rewards(Protocol):
    """Where tallies come from."""

    def tally(self, key: str, /) -> Tally:
        """The evidence for this key; an empty tally when there is none."""
        ...
