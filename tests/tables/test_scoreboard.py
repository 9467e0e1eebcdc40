"""The scoreboard: it holds what its topic says, and nothing that a request could fail on."""

from __future__ import annotations

import math

import msgspec
import pytest

from app.decision.learning.evidence import NOTHING, Tally
from app.decision.learning.logistic import Coordinate, LogisticState
from app.decision.notices import Score, encode_notice
from tables.scoreboard import Scoreboard

encode = msgspec.msgpack.encode
LEARNT = encode(LogisticState(3.0, {"": Coordinate(-1.5, 2.0)}))


def apply(board: Scoreboard, key: str, totals: bytes, version: int = 1) -> bool:
    return board.apply(f"shop:{key}".encode(), encode_notice(Score(version, totals)))


def test_the_newest_score_of_a_key_counts() -> None:
    board = Scoreboard()
    assert apply(board, "offer/o1", encode(Tally(5, 2)), 2)
    assert apply(board, "offer/o1", encode(Tally(1, 1)), 1)
    assert apply(board, "model/m@0", LEARNT)
    assert board.tenant("shop").tally("offer/o1") == Tally(5, 2)
    assert board.tenant("shop").weights("m@0") == LEARNT


@pytest.mark.parametrize(
    ("key", "totals"),
    [
        ("offer/o1", b"\xff"),
        ("offer/o1", b""),
        ("offer/o1", encode(["a", 1])),
        ("tenant", encode([-1, 0])),
        ("tenant", encode([0, 2**53 + 1])),
        ("tenant", encode([2**64 - 1, 0])),
        ("model/m@0", b"\xff"),
        ("model/m@0", encode([1.0, {"": [math.nan, 1.0]}])),
        ("model/m@0", encode([1.0, {"": [math.inf, 1.0]}])),
        ("model/m@0", encode([1.0, {"": [1.0, -1.0]}])),
        ("model/m@0", encode([math.nan, {}])),
        ("model/m@0", encode([1.0, {"": [1e308, 1.0]}])),
        ("model/m@0", encode([1.0, {"a": "b"}])),
    ],
)
def test_what_are_no_totals_is_refused_and_changes_nothing(key: str, totals: bytes) -> None:
    board = Scoreboard()
    assert not apply(board, key, totals)
    assert len(board) == 0
    evidence = board.tenant("shop")
    assert (evidence.tally(key), evidence.weights("m@0")) == (NOTHING, None)


@pytest.mark.parametrize("version", [-1, 2**53 + 1])
def test_a_version_out_of_bounds_is_refused(version: int) -> None:
    board = Scoreboard()
    assert not apply(board, "tenant", encode(Tally(1, 0)), version)
    assert apply(board, "tenant", encode(Tally(2, 0)), 0)
