"""Which events a metric counts, by a condition on their data; and what its document may say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.entities import BehaviouralMetric
from app.decision.metrics import compile_metric, field_value
from app.decision.validation import load_entity
from tests.decision.building import metric

DEEP = {"any": [{"field": "data.cart.kind", "operator": "eq", "value": "big"}]}


@pytest.mark.parametrize(
    ("condition", "data", "counts"),
    [
        ({"field": "data.kind", "operator": "eq", "value": "a"}, {"kind": "a"}, True),
        ({"field": "data.kind", "operator": "eq", "value": "a"}, {"kind": "b"}, False),
        ({"field": "data.kind", "operator": "eq", "value": "a"}, {}, False),
        ({"field": "data.kind", "operator": "not_exists"}, {}, True),
        ({"field": "data.n", "operator": "eq", "value": 1}, {"n": True}, False),
        ({"field": "data.conversionValue", "operator": "gt", "value": 9}, {"conversionValue": 10.0}, True),
        ({"field": "data.offerId", "operator": "in", "value": ["a", "b"]}, {"offerId": "b"}, True),
        (DEEP, {"cart": {"kind": "big"}}, True),
        (DEEP, {"cart": "big"}, False),
        (DEEP, None, False),
        ({"not": DEEP}, "no object", True),
        ({}, {}, True),
    ],
)
def test_only_events_that_meet_the_filter_count(
    condition: dict[str, Any], data: object, counts: bool
) -> None:
    assert field_value(metric("count", condition=condition), data) == (1.0 if counts else None)


def test_a_filter_and_a_field_must_both_have_something() -> None:
    one = metric("sum", None, ("amount",), {"field": "data.kind", "operator": "eq", "value": "a"})
    assert field_value(one, {"kind": "a", "amount": 3}) == 3
    assert field_value(one, {"kind": "a"}) is None
    assert field_value(one, {"amount": 3}) is None


SUM = {"aggregate": "sum", "field": "data.x"}


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"aggregate": "count"}, []),
        ({"aggregate": "count", "filter": {"field": "data.x", "operator": "exists"}}, []),
        ({"aggregate": "count", "filter": None}, []),
        ({"aggregate": "count", "field": "data.x"}, ["field"]),
        *(({"aggregate": name, "field": "data.x.y"}, []) for name in ("sum", "avg", "min", "max", "last")),
        *(({"aggregate": name, "field": "conversionValue"}, []) for name in ("sum", "avg", "distinct")),
        *(({"aggregate": name}, ["field"]) for name in ("sum", "avg", "min", "max", "last", "distinct")),
        *(({"aggregate": name, "field": "offerId"}, ["field"]) for name in ("sum", "avg", "min", "max")),
        ({"aggregate": "last", "field": "offerId"}, []),
        ({"aggregate": "distinct", "field": "channelId"}, []),
        ({"aggregate": "distinct", "field": "amount"}, ["field"]),
        ({"aggregate": "last", "field": "data."}, ["field"]),
        ({"aggregate": "last", "field": "data..x"}, ["field"]),
        ({**SUM, "filter": {"field": "customer.x", "operator": "exists"}}, ["filter.field"]),
        ({**SUM, "filter": {"field": "data.x", "operator": "near"}}, ["filter.operator"]),
        ({**SUM, "filter": {"all": []}}, ["filter.all"]),
        ({**SUM, "filter": {"all": [{"field": "data.x"}]}}, ["filter.all[0].operator"]),
        ({**SUM, "filter": {"any": 3}}, ["filter.any"]),
        ({**SUM, "filter": []}, ["filter"]),
        ({**SUM, "filter": {"field": "data.x", "operator": "gt"}}, ["filter.value"]),
        ({**SUM, "windowMs": -1}, ["windowMs"]),
        ({"aggregate": "sum", "filter": {"not": 1}}, ["field", "filter.not"]),
    ],
)
def test_what_is_wrong_with_a_metric_is_named_by_its_path(document: dict[str, Any], paths: list[str]) -> None:
    loaded = load_entity("behavioral-metrics", {"key": "m", "eventTypes": ["buy"], **document})
    found = [problem.path for problem in loaded] if isinstance(loaded, list) else []
    assert found == paths, loaded


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["all", "any", "not", "field", "operator", "value", "x"]), inner, max_size=4
        )
        | st.fixed_dictionaries(
            {"field": st.sampled_from(["data.x", "data"]), "operator": st.just("gt"), "value": inner}
        )
    ),
    max_leaves=8,
)


@given(condition=JSON, field=JSON, aggregate=st.sampled_from(["count", "sum", "last", "distinct"]), data=JSON)
def test_any_document_is_refused_or_counts_any_data(
    condition: Any, field: Any, aggregate: str, data: Any
) -> None:
    document = {"key": "m", "eventTypes": ["a"], "aggregate": aggregate, "filter": condition, "field": field}
    loaded = load_entity("behavioral-metrics", document)
    if isinstance(loaded, list):
        assert loaded
        return
    assert isinstance(loaded, BehaviouralMetric)
    field_value(compile_metric(loaded), data)


def test_a_wrong_filter_that_was_never_checked_lets_nothing_count() -> None:
    document = {"key": "m", "eventTypes": ["a"], "aggregate": "count", "filter": {"any": []}}
    one = compile_metric(msgspec.convert(document, BehaviouralMetric))
    assert field_value(one, {}) is None
