"""A logistic regression as running totals: it learns where its customers are and is merged for everybody.

Rules of this module:

1.  A partition's state is what it learnt of its own customers, in the order of its fold. Partitions' states
    are merged as `Logistic.merge` does; their order changes nothing.
2.  What is learnt is kept under a key that names the model, its fields and its settings: other fields or
    settings begin anew, and examples made under the old ones are not learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.decision.ids import stable_hash
from app.decision.learning.logistic import EMPTY, Logistic, LogisticState
from app.decision.learning.models import LogisticModel
from app.decision.state import FeatureValue

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decoder = msgspec.msgpack.Decoder(LogisticState)


def learning_key(model_id: str, model: LogisticModel) -> str:
    """The key of what a model has learnt: its id, and a hash of what it learns by."""
    regression = model.regression
    return f"{model_id}@{stable_hash(regression.config, regression.fields):016x}"


def decode_state(state: bytes) -> LogisticState:
    """A state as `LogisticLearner` wrote it.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoder.decode(state)


class LogisticLearner:
    """Learns and merges one model's states; see `app.decision.evidence.Learner`."""

    def __init__(self, regression: Logistic) -> None:
        self._regression = regression

    def decode(self, totals: bytes | None, /) -> LogisticState:
        """The state of these totals; None is the state before any example."""
        return decode_state(totals) if totals else EMPTY

    def learn(
        self, state: LogisticState, features: tuple[FeatureValue, ...], positive: bool, /
    ) -> LogisticState:
        """The state after one more example; the same one for an example of other fields."""
        fields = self._regression.fields
        if len(features) != len(fields):
            return state
        return self._regression.update(state, dict(zip(fields, features, strict=True)).get, positive)

    def encode(self, state: LogisticState, /) -> bytes:
        """The state as totals; the same bytes for the same state."""
        return _encode(state)

    def merge(self, totals: Sequence[bytes], /) -> bytes:
        """What all of these have learnt."""
        return _encode(self._regression.merge([decode_state(each) for each in totals if each]))
