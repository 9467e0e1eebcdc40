"""When a flow falls back: three overruns in a row, for ten seconds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.overruns import OVERRUNS_MAX, SWITCHED_MS, Overruns

#: (when it ended, how long it took, whether the flow is switched right after)
Step = tuple[int, int, bool]


@pytest.mark.parametrize(
    "steps",
    [
        [(0, 51, False), (1, 51, False), (2, 51, True)],
        [(0, 50, False), (1, 50, False), (2, 50, False)],
        [(0, 51, False), (1, 51, False), (2, 50, False), (3, 51, False), (4, 51, False), (5, 51, True)],
        # Ten seconds to the millisecond, and then three again.
        [(0, 51, False), (1, 51, False), (2, 51, True), (10_001, 0, True), (10_002, 51, False),
         (10_003, 51, False), (10_004, 51, True)],
        # What the fallback takes counts for nothing, neither way.
        [(0, 51, False), (1, 51, False), (2, 51, True), (3, 51, True), (4, 51, True), (5, 51, True),
         (10_002, 51, False), (10_003, 51, False), (10_004, 0, False)],
    ],
)  # fmt: skip
def test_steps(steps: list[Step]) -> None:
    overruns = Overruns()
    for now_ms, duration_ms, switched in steps:
        overruns.note(duration_ms, 50, now_ms)
        assert overruns.switched(now_ms) is switched, (now_ms, duration_ms)


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 100)), max_size=60))
def test_it_is_switched_for_ten_seconds_after_three_in_a_row_and_never_else(steps: Any) -> None:
    overruns = Overruns()
    now_ms = 0
    row = 0
    until_ms = -1
    for passed_ms, duration_ms in steps:
        now_ms += passed_ms
        if now_ms >= until_ms:
            row = row + 1 if duration_ms > 50 else 0
        said = overruns.note(duration_ms, 50, now_ms)
        assert said is (row == OVERRUNS_MAX)
        if row == OVERRUNS_MAX:
            row, until_ms = 0, now_ms + SWITCHED_MS
        assert overruns.switched(now_ms) is (now_ms < until_ms)
