"""In which order formulas that read each other are evaluated.

Rules of this module:

1.  A formula comes after those whose names it reads; otherwise the order is that of the mapping.
2.  Formulas that read each other in a circle have no order. Each is named, from its least name on, and
    its members are set aside to look for the next; at most `CYCLES_MAX` are.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import msgspec

from app.decision.formula.formula import Formula

CYCLES_MAX = 20


class Cycle(msgspec.Struct, frozen=True):
    """Formulas that read each other: each reads the next, the last reads the first."""

    names: tuple[str, ...]

    def in_words(self) -> str:
        """Who reads whom."""
        readers = zip(self.names, (*self.names[1:], self.names[0]), strict=True)
        return ", ".join(f"{name} reads {other}" for name, other in readers)


def order_computed(formulas: Mapping[str, Formula]) -> tuple[str, ...] | list[Cycle]:
    """The names in an order in which every formula finds what it reads, or the circles that prevent it.

    Args:
        formulas: By the name under which others read them.
    """
    left = dict(formulas)
    cycles: list[Cycle] = []
    while len(cycles) < CYCLES_MAX:
        reads = {name: sorted(formula.names & left.keys()) for name, formula in left.items()}
        try:
            order = tuple(TopologicalSorter(reads).static_order())
        except CycleError as error:
            cycle = _cycle(error.args[1])
            cycles.append(cycle)
            for name in cycle.names:
                del left[name]
            continue
        return cycles or order
    return cycles


def _cycle(found: list[str]) -> Cycle:
    """The circle as the sorter names it (each is read by the next, the first again at the end)."""
    names = found[:0:-1]
    start = names.index(min(names))
    return Cycle(tuple(names[start:] + names[:start]))
