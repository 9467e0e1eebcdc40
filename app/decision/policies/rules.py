"""What every compiled contact policy is: the kinds build on these.

Rules of this module:

1.  A rule is what one policy compares, wherever it holds; its scopes are the board's.
2.  References are by id or key until `resolved`; what is missing is left out then.
3.  What blocks can be explained: `numbers` gives what was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from app.decision.conditions import Environment
from app.decision.index import EntityIndex
from app.decision.policies.zones import LocalClock

#: (path inside the policy, reference, kind it refers to)
Reference = tuple[str, str, str]


class Moment(msgspec.Struct, gc=False):
    """What policies read of one request beside the customer's contacts."""

    clock: LocalClock
    environment: Environment
    in_segment: Callable[[str], bool]


class Rule(msgspec.Struct, frozen=True):
    """What one contact policy compares."""

    def references(self) -> Iterator[Reference]:
        """What its config refers to."""
        return iter(())

    def resolved(self, index: EntityIndex) -> Rule:
        """The same rule with ids for references."""
        return self


class StateRule(Rule, frozen=True):
    """A rule about the customer and the moment: it blocks every candidate in scope, or none."""

    def blocks(self, moment: Moment) -> bool:
        """Whether it blocks now."""
        raise NotImplementedError

    def numbers(self, moment: Moment) -> dict[str, Any]:
        """What was compared."""
        raise NotImplementedError


def listed(references: Iterable[str], field: str, kind: str) -> Iterator[Reference]:
    """The references of a list in the config."""
    for i, reference in enumerate(references):
        yield f"config.{field}[{i}]", reference, kind


def ids_of(references: Iterable[str], kind: str, index: EntityIndex) -> tuple[str, ...]:
    """Their ids, each once, in order; what is missing is left out."""
    found = (index.id_of(kind, reference) for reference in references)
    return tuple(dict.fromkeys(one for one in found if one is not None))
