"""Formulas that read each other: an order, or the circles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.formula import Cycle, order_computed
from tests.decision.formula.building import compiled


def ordered(**texts: str) -> Any:
    return order_computed({name: compiled(text) for name, text in texts.items()})


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        ({}, ()),
        ({"a": "1", "b": "fee"}, ("a", "b")),
        ({"b": "1", "a": "2"}, ("b", "a")),
        ({"a": "b + c", "b": "c", "c": "fee"}, ("c", "b", "a")),
        ({"a": "false && b", "b": "1"}, ("b", "a")),
        ({"a": "a"}, [("a",)]),
        ({"c": "a", "a": "b", "b": "c + d", "d": "1"}, [("a", "b", "c")]),
        ({"a": "b", "b": "a", "c": "a", "d": "d"}, [("a", "b"), ("d",)]),
    ],
)
def test_an_order_or_every_circle(texts: dict[str, str], order: Any) -> None:
    found = ordered(**texts)
    assert found == ([Cycle(names) for names in order] if isinstance(order, list) else order)


def test_a_circle_says_who_reads_whom() -> None:
    assert ordered(a="c", b="a", c="b")[0].in_words() == "a reads c, c reads b, b reads a"


def test_thousands_of_fields_have_an_order_and_circles_are_named_up_to_a_bound() -> None:
    chain = {f"f{i}": compiled(f"f{i + 1}") for i in range(5_000)}
    assert order_computed(chain) == tuple(f"f{i}" for i in reversed(range(5_000)))
    assert len(order_computed({f"f{i}": compiled(f"f{i}") for i in range(100)})) == 20


@given(reads=st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdefg"), min_size=1)))
def test_any_order_puts_what_is_read_first_and_any_circle_is_one(reads: dict[str, set[str]]) -> None:
    found = ordered(**{name: "+".join(sorted(others)) for name, others in reads.items()})
    if isinstance(found, tuple):
        assert sorted(found) == sorted(reads)
        for name, others in reads.items():
            assert all(found.index(other) < found.index(name) for other in others & reads.keys())
        return
    assert found
    for cycle in found:
        for name, other in zip(cycle.names, (*cycle.names[1:], cycle.names[0]), strict=True):
            assert other in reads[name]
