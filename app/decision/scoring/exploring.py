"""Choosing by a strategy that explores, one rank after the other.

Rules of this module:

1.  The arms of a rank are the offers that could take it; of an offer's candidates the first in order stands
    for it.
2.  Mandatory offers that come first do so with certainty; a strategy chooses among the others.
3.  A selection probability is that of an offer at its rank, given those above it: exact for epsilon-greedy,
    estimated from `draws` draws for Thompson sampling. Without a strategy it is 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.decision.learning.evidence import Tally
from app.decision.learning.models import BanditModel
from app.decision.scoring.estimates import offer_key
from app.decision.scoring.propensity import GeometricMean, PropensityTimesFit
from app.decision.scoring.scored import Scored
from app.decision.scoring.scorer import Method, Scorer
from app.decision.shared import Evidence


class Choice(msgspec.Struct, frozen=True):
    """What takes a rank, with its selection probability (0–1), estimated from so many draws (None: exact)."""

    scored: Scored
    probability: float = 1.0
    draws: int | None = None
    #: Whether a strategy chose it.
    explored: bool = False


class _Offers:
    """Evidence by offer id, as strategies ask for it."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def tally(self, key: str, /) -> Tally:
        return self._evidence.tally(offer_key(key))


class Explorer:
    """Chooses for one request."""

    def __init__(
        self, bandit: BanditModel, method: PropensityTimesFit | GeometricMean, evidence: Evidence, salt: str
    ) -> None:
        self._bandit = bandit
        self._method = method
        self._rewards = _Offers(evidence)
        self._salt = salt

    def choose(self, eligible: Sequence[Scored], rank: int, mandatory_first: bool) -> Choice:
        """Which of the candidates that may take a rank takes it.

        Args:
            eligible: At least one candidate, in order of score.
            rank: The rank to fill (1-based), for chance.
            mandatory_first: Whether mandatory offers come before others.
        """
        first = eligible[0]
        if mandatory_first and first.candidate.offer.mandatory:
            return Choice(first)
        arms: dict[str, Scored] = {}
        for one in eligible:
            arms.setdefault(one.candidate.offer.id, one)
        factors = {offer_id: self._method.factor(one) for offer_id, one in arms.items()}
        weights = self._bandit.strategy.weigh(factors, self._rewards, self._salt)
        picked = self._bandit.sampler.pick(weights, f"{self._salt}/{rank}") or first.candidate.offer.id
        return Choice(arms[picked], weights.probabilities[picked], weights.draws, True)


def explorer(scorer: Scorer, method: Method, evidence: Evidence, salt: str) -> Explorer | None:
    """What chooses for a request scored by a method; None when the order of scores does."""
    bandit = scorer.estimator.strategy
    if bandit is None or not isinstance(method, PropensityTimesFit | GeometricMean):
        return None
    return Explorer(bandit, method, evidence, salt)
