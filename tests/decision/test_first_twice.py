"""A name that an object has twice: found in one pass, since a caller may send tens of thousands."""

from __future__ import annotations

import pytest

from app.decision.refusals import first_twice


class Counted(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, str(other))

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    ("names", "twice"),
    [([], None), (["a"], None), (["a", "b"], None), (["a", "b", "a", "b"], "a"), (["", "x", ""], "")],
)
def test_the_first_that_was_there_before(names: list[str], twice: str | None) -> None:
    assert first_twice(names) == twice


def test_many_names_cost_one_look_each() -> None:
    names = [Counted(number) for number in range(10_000)]
    Counted.comparisons = 0
    assert first_twice([*names, Counted("zz"), Counted("zz")]) == "zz"
    assert Counted.comparisons < 2 * len(names)
