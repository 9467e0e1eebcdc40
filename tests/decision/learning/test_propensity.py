"""The chain of a propensity: which evidence speaks, and how loud."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.learning.evidence import NOTHING, Tally
from app.decision.learning.propensity import propensity

#: (impressions, positives) of offer, category and tenant; what the model says; value, source, impressions.
CASES = [
    ((50, 5), (0, 0), (0, 0), None, 0.1, "offer", 50),
    ((50, 0), (100, 90), (0, 0), 0.9, 0.0, "offer", 50),
    ((49, 5), (0, 0), (0, 0), None, (5 + 10 * 0.5) / 59, "offer", 49),
    ((1, 1), (20, 5), (10, 9), 0.9, (1 + 10 * 0.25) / 11, "offer", 1),
    ((1, 1), (19, 5), (10, 9), 0.3, (1 + 10 * 0.9) / 11, "offer", 1),
    ((1, 0), (19, 5), (9, 9), 0.3, (0 + 10 * 0.3) / 11, "offer", 1),
    ((0, 0), (20, 5), (10, 9), 0.3, 0.25, "category", 20),
    ((0, 0), (19, 5), (10, 9), 0.3, 0.9, "tenant", 10),
    ((0, 0), (19, 5), (9, 9), 0.3, 0.3, "model", 0),
    ((0, 0), (19, 5), (9, 9), None, 0.5, "default", 0),
    ((0, 0), (0, 0), (0, 0), math.nan, 0.5, "default", 0),
    ((0, 0), (0, 0), (0, 0), 1.01, 0.5, "default", 0),
    ((0, 0), (0, 0), (0, 0), -0.01, 0.5, "default", 0),
    ((0, 0), (0, 0), (0, 0), 0.0, 0.0, "model", 0),
    # Positives whose impressions have not arrived yet.
    ((0, 60), (0, 0), (0, 0), None, 1.0, "offer", 60),
    ((0, 3), (0, 0), (0, 0), None, (3 + 10 * 0.5) / 13, "offer", 3),
    ((0, 0), (0, 20), (0, 0), None, 1.0, "category", 20),
]


@pytest.mark.parametrize(("offer", "category", "tenant", "said", "value", "source", "impressions"), CASES)
def test_the_narrowest_evidence_speaks(
    offer: tuple[int, int],
    category: tuple[int, int],
    tenant: tuple[int, int],
    said: float | None,
    value: float,
    source: str,
    impressions: int,
) -> None:
    found = propensity(Tally(*offer), Tally(*category), Tally(*tenant), lambda: said)
    assert found.value == pytest.approx(value, abs=1e-15)
    assert (found.source, found.impressions) == (source, impressions)


def test_a_model_is_asked_only_when_it_is_needed() -> None:
    def fails() -> float:
        raise AssertionError("the model was asked")

    assert propensity(Tally(50, 1), NOTHING, NOTHING, fails).source == "offer"
    assert propensity(Tally(1, 1), Tally(20, 1), NOTHING, fails).source == "offer"
    assert propensity(NOTHING, NOTHING, Tally(10, 1), fails).source == "tenant"
    assert propensity(NOTHING, NOTHING, NOTHING, None).source == "default"


TALLIES = st.builds(Tally, st.integers(-3, 100), st.integers(-3, 100))


@given(TALLIES, TALLIES, TALLIES, st.none() | st.floats())
def test_a_propensity_lies_in_0_to_1(
    offer: Tally, category: Tally, tenant: Tally, said: float | None
) -> None:
    assert 0 <= propensity(offer, category, tenant, lambda: said).value <= 1


@given(st.integers(0, 200), st.integers(0, 200), TALLIES, TALLIES)
def test_one_more_positive_never_lowers_it(n: int, positives: int, category: Tally, tenant: Tally) -> None:
    n = max(n, positives + 1)
    less = propensity(Tally(n, positives), category, tenant, None)
    assert less.value <= propensity(Tally(n, positives + 1), category, tenant, None).value
