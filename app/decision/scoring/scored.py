"""A candidate with its score."""

from __future__ import annotations

import msgspec

from app.decision.candidate import Candidate
from app.decision.learning.propensity import Estimate


class Scored(msgspec.Struct, frozen=True, gc=False):
    """A candidate with its score (0–1), and the fit (0–1) and propensity that went into it."""

    candidate: Candidate
    fit: float
    score: float
    estimate: Estimate | None = None
