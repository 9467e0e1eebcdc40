"""Assignment: by weight, the same for ever, sticky, and knowing nothing of other experiments."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.experiments.assignment import arm_of, drawn, holds_out
from app.decision.experiments.chi_square import chi_square_survival
from app.decision.experiments.compiled import CompiledExperiment
from app.decision.state import DAY_MS, Assigned
from tests.decision.building import NOW_MS
from tests.decision.experiments.building import between_creatives, compiled, experimenting

CUSTOMERS = [f"cust_{i}" for i in range(20_000)]


def experiment(weights: dict[str, float], **fields: Any) -> CompiledExperiment:
    """An experiment with these weights by variant."""
    variants = [{"key": key, "weight": weight, "creativeId": "card-mail"} for key, weight in weights.items()]
    control = next(iter(weights))
    document = between_creatives(variants=variants, controlVariant=control, **fields)
    return compiled(experimenting(document))


@pytest.mark.parametrize(
    "weights",
    [{"a": 50, "b": 50}, {"a": 90, "b": 10}, {"a": 99, "b": 1}, {"a": 33.3, "b": 33.3, "c": 33.4},
     {"a": 0, "b": 70, "c": 0, "d": 30, "e": 0}, {"a": 100}],
)  # fmt: skip
def test_shares_are_the_weights(weights: dict[str, float]) -> None:
    found = experiment(weights)
    counts = Counter(drawn(found, one).key for one in CUSTOMERS)
    expected = {key: weight / 100 * len(CUSTOMERS) for key, weight in weights.items() if weight}
    assert set(counts) == set(expected)
    statistic = sum((counts[key] - share) ** 2 / share for key, share in expected.items())
    assert chi_square_survival(statistic, max(len(expected) - 1, 1)) > 0.001


@pytest.mark.parametrize("key", ["cta", "cta2", "summer"])
def test_the_holdout_is_its_share_and_says_nothing_about_the_variant(key: str) -> None:
    found = experiment({"a": 50, "b": 50}, key=key, holdoutPercent=20)
    cells = Counter((holds_out(found, one), drawn(found, one).key) for one in CUSTOMERS)
    total = len(CUSTOMERS)
    expected = {(True, "a"): 0.1, (True, "b"): 0.1, (False, "a"): 0.4, (False, "b"): 0.4}
    statistic = sum((cells[one] - share * total) ** 2 / (share * total) for one, share in expected.items())
    assert chi_square_survival(statistic, 3) > 0.001


def test_two_experiments_are_independent() -> None:
    first, second = experiment({"a": 50, "b": 50}), experiment({"a": 50, "b": 50}, key="cta2")
    cells = Counter((drawn(first, one).key, drawn(second, one).key) for one in CUSTOMERS)
    statistic = sum((cells[row, column] - 5_000) ** 2 / 5_000 for row in "ab" for column in "ab")
    assert chi_square_survival(statistic, 3) > 0.001


@given(customer_id=st.text(), weight=st.floats(0, 100))
def test_a_customer_always_has_the_same_variant(customer_id: str, weight: float) -> None:
    weights = {"a": weight, "b": 100 - weight}
    once, again = experiment(weights), experiment(weights)
    key = drawn(once, customer_id).key
    assert drawn(again, customer_id).key == key
    assert weights[key] > 0


@given(customer_id=st.text(), low=st.integers(0, 100), more=st.integers(0, 100))
def test_a_share_that_grows_keeps_its_customers(customer_id: str, low: int, more: int) -> None:
    high = min(100, low + more)
    before, after = experiment({"a": low, "b": 100 - low}), experiment({"a": high, "b": 100 - high})
    if drawn(before, customer_id).key == "a":
        assert drawn(after, customer_id).key == "a"


@pytest.mark.parametrize(
    ("age_ms", "variant", "keeps"),
    [
        (0, "b", True),
        (30 * DAY_MS - 1, "b", True),
        (30 * DAY_MS, "b", False),
        (-DAY_MS, "b", True),  # assigned by a clock ahead of ours
        (0, "gone", False),
    ],
)
def test_an_assignment_sticks_for_its_days(age_ms: int, variant: str, keeps: bool) -> None:
    found = experiment({"a": 100, "b": 0}, holdoutPercent=0)
    arm = arm_of(found, "ann", {"exp": Assigned(variant, NOW_MS - age_ms)}, NOW_MS)
    assert arm.variant is not None
    assert (arm.variant.key, arm.fresh) == (("b", False) if keeps else ("a", True))


@given(
    customer_id=st.text(), weight=st.integers(0, 100), later=st.integers(0, 100), holdout=st.integers(0, 100)
)
def test_changed_weights_and_holdout_leave_who_is_assigned(
    customer_id: str, weight: int, later: int, holdout: int
) -> None:
    arm = arm_of(experiment({"a": weight, "b": 100 - weight}), customer_id, {}, NOW_MS)
    assert arm.variant is not None
    changed = experiment({"a": later, "b": 100 - later}, holdoutPercent=holdout)
    assigned = {"exp": Assigned(arm.variant.key, NOW_MS)}
    kept = arm_of(changed, customer_id, assigned, NOW_MS + DAY_MS)
    assert kept.variant is not None
    assert (kept.variant.key, kept.fresh) == (arm.variant.key, False)


def test_a_sum_a_hair_below_100_has_a_variant_for_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = experiment({"a": 50, "b": 50 - 1e-10, "c": 0})
    monkeypatch.setattr("app.decision.experiments.assignment.bucket", lambda *_: 100 - 1e-14)
    assert drawn(found, "ann").key == "b"


@pytest.mark.parametrize(("place", "variant"), [(0.0, "b"), (49.999, "b"), (50.0, "d"), (99.999, "d")])
def test_a_share_begins_where_the_one_before_ends(
    monkeypatch: pytest.MonkeyPatch, place: float, variant: str
) -> None:
    found = experiment({"a": 0, "b": 50, "c": 0, "d": 50, "e": 0})
    monkeypatch.setattr("app.decision.experiments.assignment.bucket", lambda *_: place)
    assert drawn(found, "ann").key == variant
