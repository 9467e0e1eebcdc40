"""What a model has learnt comes from others: when nothing can be made of it, requests are scored without."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from app.decision.candidate import Candidate
from app.decision.learning.evidence import NOTHING, Tally
from app.decision.learning.logistic import Coordinate, LogisticState
from app.decision.learning.models import LogisticModel, compile_model
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.estimates import Estimator
from app.decision.shared import Shared

CANDIDATE = cast(Candidate, SimpleNamespace(offer=SimpleNamespace(id="o1", category_id="music")))


class Learnt:
    """Evidence that has nothing but one model's state."""

    def __init__(self, state: bytes) -> None:
        self.state = state

    def tally(self, key: str, /) -> Tally:
        return NOTHING

    def weights(self, model_key: str, /) -> bytes | None:
        return self.state


def asked(state: bytes) -> tuple[str, ScoringContext]:
    model = compile_model("logistic", {}, ["customer.age"])
    assert isinstance(model, LogisticModel), model
    environment: Any = {"customer": {"age": 40}}
    context = ScoringContext(lambda _: environment, Shared(evidence=Learnt(state)), "salt", lambda: 0.0)
    return Estimator("m", model).estimates([CANDIDATE], context)["o1"].source, context


def test_what_a_model_has_learnt_is_asked() -> None:
    source, context = asked(msgspec.msgpack.encode(LogisticState(9.0, {"": Coordinate(1.0, 2.0)})))
    assert (source, context.asked, context.degraded) == ("model", {"m": False}, False)


@pytest.mark.parametrize(
    "state", [b"\xff", b"\x90\x90", b"\x91\xa1a", msgspec.msgpack.encode([1.0, {"": "x"}])]
)
def test_a_state_that_is_none_fails_the_model_not_the_request(state: bytes) -> None:
    source, context = asked(state)
    assert source != "model"
    assert (context.asked, context.degraded) == ({"m": True}, True)
