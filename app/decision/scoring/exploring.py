"""Choosing by a strategy that explores, one rank after the other.

Rules of this module:

1.  The arms of a rank are the offers that could take it; of an offer's candidates the first in order stands
    for it.
2.  Mandatory offers that come first do so with certainty; a strategy chooses among the others.
3.  A selection probability is that of an offer at its rank, given those above it: exact for epsilon-greedy,
    estimated from `draws` draws for Thompson sampling. Without a strategy it is 1.
4.  A decision draws once: the score stage drew what offers stand with, and the strategy's field stays from
    rank to rank, only losing what was taken or may not stand any more.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.decision.learning.evidence import Tally
from app.decision.learning.models import BanditModel
from app.decision.learning.strategies import Field
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
        self._field: Field | None = None
        self._standing: dict[str, Scored] = {}

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
        weights = self._field_of(arms).weights()
        picked = self._bandit.sampler.pick(weights, f"{self._salt}/{rank}") or first.candidate.offer.id
        return Choice(arms[picked], weights.probabilities[picked], weights.draws, True)

    def _field_of(self, arms: dict[str, Scored]) -> Field:
        """These arms as a field: the last rank's without those that are gone, or a new one where it lacks an
        arm, or an offer is stood for by a candidate of another factor."""
        held = self._standing
        self._standing = arms
        stands = all(self._same(one, held.get(offer_id)) for offer_id, one in arms.items())
        if self._field is None or not stands:
            factors = {offer_id: self._method.factor(one) for offer_id, one in arms.items()}
            scores = {offer_id: _propensity(one) for offer_id, one in arms.items()}
            self._field = self._bandit.strategy.field(factors, self._rewards, scores)
        else:
            self._field.drop(held.keys() - arms.keys())
        return self._field

    def _same(self, one: Scored, held: Scored | None) -> bool:
        return one is held or (held is not None and self._method.factor(one) == self._method.factor(held))


def _propensity(scored: Scored) -> float:
    """What the strategy drew for the offer when it was scored."""
    if scored.estimate is None:
        raise ValueError("a method that explores estimates every candidate")
    return scored.estimate.value


def explorer(scorer: Scorer, method: Method, evidence: Evidence, salt: str) -> Explorer | None:
    """What chooses for a request scored by a method; None when the order of scores does."""
    bandit = scorer.estimator.strategy
    if bandit is None or not isinstance(method, PropensityTimesFit | GeometricMean):
        return None
    return Explorer(bandit, method, evidence, salt)
