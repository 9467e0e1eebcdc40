"""Evidence: what observations add to which running totals, and how totals of several partitions become one.

Rules of this module:

1.  A key names what is counted: `offer/<id>`, `category/<id>`, `tenant`, `variant/<experiment>/<variant>`,
    and `model/<id>` for what a model that learns has learnt.
2.  Every partition counts its own customers in running totals that only its fold changes. One total for all
    is made of the partitions' newest ones, whatever order they came in: `merge` knows no order.
3.  Totals are bytes to all but their `Mergeable`, which the key names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from app.decision.learning.evidence import Tally
from app.decision.observations import Observation
from app.decision.state import Features

MODEL = "model/"

_IMPRESSION = Tally(impressions=1)
_POSITIVE = Tally(positives=1)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tally).decode


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


TALLIES: Mergeable = _Tallies()


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
