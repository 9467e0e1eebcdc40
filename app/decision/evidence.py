"""Evidence: what observations add to which running totals, and how totals of several partitions become one.

Rules of this module:

1.  A key names what is counted: `offer/<id>`, `category/<id>`, `tenant`, `variant/<experiment>/<variant>`,
    `model/<id>` for what a model that learns has learnt, and `decisions` for the month's decisions, which
    quotas go by.
2.  Every partition counts its own customers in running totals that only its fold changes. One total for all
    is made of the partitions' newest ones, whatever order they came in: `merge` knows no order.
3.  Totals are bytes to all but their `Mergeable`, which the key names. Those that came over a topic, where
    anybody may write, are looked at with `are_totals` before anything is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from app.decision.learning.evidence import Tally
from app.decision.learning.learner import decode_state
from app.decision.learning.logistic import LogisticState
from app.decision.months import Monthly, sum_of
from app.decision.observations import Observation
from app.decision.state import Features

MODEL = "model/"
DECISIONS = "decisions"

#: A count is no more: as floating point it would not be exact.
COUNT_MAX = 2**53

#: December of the last year that dates have.
_LAST_MONTH = 9999 * 12 + 11

#: Far beyond what examples can teach a coordinate, and far from where sums and quotients overflow.
_LEARNT_MAX = 1e100

_IMPRESSION = Tally(impressions=1)
_POSITIVE = Tally(positives=1)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tally).decode
_decode_monthly = msgspec.msgpack.Decoder(Monthly).decode


class Mergeable(Protocol):
    """Running totals of one kind, as bytes."""

    def merge(self, totals: Sequence[bytes], /) -> bytes:
        """What all of these make together; their order changes nothing."""
        ...


class Learner(Mergeable, Protocol):
    """A model that learns from observations. Its state is a value, encoded once for many examples."""

    def decode(self, totals: bytes | None, /) -> Any:
        """The state of these totals; None is the state before any example."""
        ...

    def learn(self, state: Any, features: Features, positive: bool, /) -> Any:
        """The state after one more example; the given one stays as it is."""
        ...

    def encode(self, state: Any, /) -> bytes:
        """The state as totals."""
        ...


class _Tallies:
    def merge(self, totals: Sequence[bytes], /) -> bytes:
        tallies = [_decode(each) for each in totals]
        return _encode(
            Tally(sum(each.impressions for each in tallies), sum(each.positives for each in tallies))
        )


class _Monthlies:
    def merge(self, totals: Sequence[bytes], /) -> bytes:
        return encode_monthly(sum_of(monthly_of(each) for each in totals))


TALLIES: Mergeable = _Tallies()
MONTHLIES: Mergeable = _Monthlies()


def deltas(observation: Observation) -> Iterator[tuple[str, Tally]]:
    """What an observation adds to which tallies."""
    delta = _IMPRESSION if observation.kind == "impression" else _POSITIVE
    if observation.offer_id:
        yield f"offer/{observation.offer_id}", delta
    if observation.category_id:
        yield f"category/{observation.category_id}", delta
    yield "tenant", delta


def added(totals: bytes | None, delta: Tally) -> bytes:
    """A tally's running total with so much more."""
    tally = Tally() if totals is None else _decode(totals)
    return _encode(Tally(tally.impressions + delta.impressions, tally.positives + delta.positives))


def tally_of(totals: bytes) -> Tally:
    """A running total that is a tally's."""
    return _decode(totals)


def monthly_of(totals: bytes | None) -> Monthly:
    """A running total that is a month's decisions; None is that of before any."""
    return Monthly() if totals is None else _decode_monthly(totals)


def encode_monthly(decided: Monthly) -> bytes:
    return _encode(decided)


def are_totals(key: str, totals: bytes) -> bool:
    """Whether these are totals as the key says: a tally, a month's decisions, or what a model has learnt,
    within sane bounds."""
    try:
        if key.startswith(MODEL):
            # Nothing is what a model has learnt before its first example.
            return not totals or _is_learnt(decode_state(totals))
        if key == DECISIONS:
            return _is_monthly(monthly_of(totals))
        tally = _decode(totals)
    except ValueError:
        # msgspec's errors are ValueErrors.
        return False
    return 0 <= tally.impressions <= COUNT_MAX and 0 <= tally.positives <= COUNT_MAX


def _is_monthly(decided: Monthly) -> bool:
    counts = (decided.count, decided.before)
    return 0 <= decided.month <= _LAST_MONTH and all(0 <= each <= COUNT_MAX for each in counts)


def _is_learnt(state: LogisticState) -> bool:
    # Not a number is in no range.
    return 0.0 <= state.examples <= COUNT_MAX and all(
        -_LEARNT_MAX <= each.z <= _LEARNT_MAX and 0.0 <= each.n <= _LEARNT_MAX
        for each in state.coordinates.values()
    )
