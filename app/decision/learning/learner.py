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
        #: The state learnt last and its bytes, since the next example mostly goes on from it.
        self._last: tuple[bytes, LogisticState] | None = None

    def learn(self, state: bytes | None, features: tuple[FeatureValue, ...], positive: bool, /) -> bytes:
        """The state after one more example; None is the state before any."""
        fields = self._regression.fields
        if len(features) != len(fields):
            return b"" if state is None else state
        row = dict(zip(fields, features, strict=True)).get
        learnt = self._regression.update(self._decoded(state), row, positive)
        encoded = _encode(learnt)
        self._last = (encoded, learnt)
        return encoded

    def merge(self, totals: Sequence[bytes], /) -> bytes:
        """What all of these have learnt."""
        return _encode(self._regression.merge([decode_state(each) for each in totals if each]))

    def _decoded(self, state: bytes | None) -> LogisticState:
        if not state:
            return EMPTY
        if self._last is not None and self._last[0] is state:
            return self._last[1]
        return decode_state(state)
