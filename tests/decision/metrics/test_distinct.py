"""Distinct values: exact up to 256, then sketched, in windows and over all time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.metrics import CompiledMetric, field_value, observe, read, sketch
from app.decision.state import Window
from app.decision.windows import Distinct
from tests.decision.building import metric
from tests.decision.metrics.building import NOW_MS, WINDOW_MS, Happening, as_number, figure_of, window_after

EVER = metric("distinct", None, ("v",))
WINDOWED = metric("distinct", WINDOW_MS, ("v",))

GOLDEN = Path(__file__).parents[2] / "golden" / "state"

#: As documented.
EXACT_MAX = 256

#: Three standard errors of a sketch of 2^11 registers; see `sketch`.
BOUND = 3 * 1.04 / 2 ** (11 / 2)


def sketches(window: Window | None) -> int:
    assert window is not None
    assert isinstance(window.kept, Distinct)
    assert not (window.kept.seen and window.kept.sketches)
    return len(window.kept.sketches)


@pytest.mark.parametrize("one", [EVER, WINDOWED])
def test_256_values_are_exact_however_often_they_occur(one: CompiledMetric) -> None:
    events = [(NOW_MS - i % WINDOW_MS, f"v{i % EXACT_MAX}") for i in range(2_000)]
    window = window_after(one, events)
    assert sketches(window) == 0
    assert read(window, one, NOW_MS) == EXACT_MAX


def test_the_257th_value_turns_them_into_a_sketch() -> None:
    window = window_after(EVER, [(NOW_MS, i) for i in range(EXACT_MAX + 1)])
    assert sketches(window) == 1
    assert as_number(read(window, EVER, NOW_MS)) == pytest.approx(257, rel=BOUND)


@pytest.mark.parametrize("number", [500, 5_000, 50_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_sketch_is_within_three_standard_errors(number: int, seed: int) -> None:
    chance = random.Random(seed)
    events = [(NOW_MS, chance.getrandbits(50)) for _ in range(number)]
    figure = figure_of(EVER, events + events[: number // 2])
    assert as_number(figure) == pytest.approx(number, rel=BOUND)
    assert as_number(figure) == round(as_number(figure))


def test_a_window_of_sketches_slides() -> None:
    """100 new values a second; the window of a minute has 60 to 61 of those seconds."""
    events = [(NOW_MS + second * 1_000, second * 100 + i) for second in range(180) for i in range(100)]
    window = window_after(WINDOWED, events)
    assert sketches(window) == 61
    end_ms = NOW_MS + 179_000
    assert as_number(read(window, WINDOWED, end_ms)) == pytest.approx(6_100, rel=BOUND)
    assert as_number(read(window, WINDOWED, end_ms + 30_000)) == pytest.approx(3_100, rel=BOUND)
    assert read(window, WINDOWED, end_ms + 61_000) == 0


def test_it_is_exact_again_once_every_sketch_has_left() -> None:
    many = [(NOW_MS, i) for i in range(1_000)]
    window = window_after(WINDOWED, [*many, (NOW_MS + 61_000, "a"), (NOW_MS + 61_000, "b")])
    assert sketches(window) == 0
    assert read(window, WINDOWED, NOW_MS + 61_000) == 2


def test_a_value_leaves_with_its_newest_occurrence() -> None:
    events = [(NOW_MS - 50_000, "a"), (NOW_MS, "a"), (NOW_MS - 20_000, "a")]
    assert figure_of(WINDOWED, events, NOW_MS + 60_000) == 1
    assert figure_of(WINDOWED, events, NOW_MS + 61_000) == 0


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1_000),
    number=st.sampled_from([300, 600]),
    stops=st.sets(st.integers(0, 599), max_size=5),
    window_ms=st.sampled_from([None, WINDOW_MS]),
)
def test_storing_in_between_changes_no_byte(
    seed: int, number: int, stops: set[int], window_ms: int | None
) -> None:
    chance = random.Random(seed)
    one = metric("distinct", window_ms, ("v",))
    events = [(NOW_MS + chance.randrange(-70_000, 1_000), chance.randrange(500)) for _ in range(number)]
    plain = msgspec.msgpack.encode(window_after(one, events))
    assert msgspec.msgpack.encode(_stored_at(one, events, stops)["m"]) == plain
    assert len(plain) < 61 * 1_200


def _stored_at(one: CompiledMetric, events: list[Happening], stops: set[int]) -> dict[str, Window]:
    """The windows after events, written and read again after some of them."""
    windows: dict[str, Window] = {}
    for i, (at_ms, value) in enumerate(events):
        taken = field_value(one, {"v": value})
        observe(windows, one, at_ms, taken)
        if i in stops:
            windows = msgspec.msgpack.decode(msgspec.msgpack.encode(windows), type=dict[str, Window])
    return windows


def test_a_sketch_has_the_bytes_that_every_version_of_the_library_must_give() -> None:
    golden = json.loads((GOLDEN / "sketch.json").read_text())
    assert sketch.of(range(10)).hex() == golden["hashes-0-to-9"]
    assert sketch.of(range(300)).hex() == golden["hashes-0-to-299"]
    assert sketch.estimate([bytes.fromhex(golden["hashes-0-to-9"])]) == 10
    assert sketch.estimate([]) == 0
