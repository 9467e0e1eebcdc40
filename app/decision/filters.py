"""A flow's filters: conditions that every candidate must meet.

Rules of this module:

1.  A filter reads `customer.*`, `metrics.*`, `attributes.*`, `context.*`, `offer.*` and `creative.*`. The
    first one that a candidate fails, in the flow's order, is the reason: `filters[0]`.
2.  A filter on offer and creative alone is decided when the catalogue is compiled; one on the customer and
    the request alone once a request; others once an offer, or once a creative if they read it.
3.  Mandatory offers obey them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from app.decision.candidate import Candidate
from app.decision.condition_fields import fields_read
from app.decision.conditions import (
    NAMESPACES,
    Condition,
    Environment,
    Reader,
    compile_condition,
    field_reader,
)
from app.decision.entities import Creative, Offer
from app.decision.known import Known
from app.decision.problems import Problem
from app.decision.reasons import Reason, reason

FILTER_NAMESPACES = NAMESPACES | {"offer", "creative"}


class CompiledFilter(msgspec.Struct, frozen=True):
    """A filter ready to evaluate, and what it reads."""

    reason: Reason
    holds: Condition
    readers: Mapping[str, Reader]

    @property
    def spaces(self) -> frozenset[str]:
        """The namespaces that it reads."""
        return frozenset(field.partition(".")[0] for field in self.readers)


def compile_filter(place: int, tree: object) -> CompiledFilter | list[Problem]:
    """The filter at a place (0-based) of a flow, ready to evaluate, or what is wrong with it."""
    path = f"filters[{place}]"
    holds = compile_condition(tree, FILTER_NAMESPACES, path)
    if isinstance(holds, list):
        return holds
    readers = {field: field_reader(field) for field, _ in fields_read(tree)}
    return CompiledFilter(reason("filter", "filter", path), holds, readers)


def fields_of_filters(trees: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, str]]:
    """Every field that some filters read, with the path of the comparison that does."""
    for i, tree in enumerate(trees):
        yield from fields_read(tree, f"filters[{i}]")


class FilterBoard:
    """The filters of one flow. Bit i is the i-th filter."""

    __slots__ = ("_customer", "_mixed", "_static", "filters")

    def __init__(self, trees: tuple[dict[str, Any], ...]) -> None:
        compiled = (compile_filter(i, tree) for i, tree in enumerate(trees))
        self.filters = [one for one in compiled if not isinstance(one, list)]
        self._static: list[tuple[int, CompiledFilter]] = []
        self._customer: list[tuple[int, CompiledFilter]] = []
        #: With whether they read the creative.
        self._mixed: list[tuple[int, CompiledFilter, bool]] = []
        for place, one in enumerate(self.filters):
            bit, spaces = 1 << place, one.spaces
            if spaces <= {"offer", "creative"}:
                self._static.append((bit, one))
            elif spaces.isdisjoint({"offer", "creative"}):
                self._customer.append((bit, one))
            else:
                self._mixed.append((bit, one, "creative" in spaces))

    def always_failed(self, offer_fields: Mapping[str, Any], creative_fields: Mapping[str, Any]) -> int:
        """The filters that a candidate with these fields fails for every customer, as a mask."""
        environment: Environment = {"offer": offer_fields, "creative": creative_fields}
        return sum(bit for bit, one in self._static if not one.holds(environment))

    def verdicts(self, known: Known) -> FilterVerdicts:
        """Which filters fail in one request."""
        failed = sum(bit for bit, one in self._customer if not one.holds(known.environment))
        return FilterVerdicts(self, known, failed, self._mixed)


class FilterVerdicts:
    """Which filters fail for one customer, and which for each candidate."""

    __slots__ = ("_board", "_failed", "_known", "_mixed", "_results")

    def __init__(
        self, board: FilterBoard, known: Known, failed: int, mixed: list[tuple[int, CompiledFilter, bool]]
    ) -> None:
        self._board = board
        self._known = known
        self._failed = failed
        self._mixed = mixed
        self._results: dict[tuple[int, str], bool] = {}

    def failed(self, candidate: Candidate) -> int:
        """The filters that a candidate fails, as a mask."""
        failed = self._failed | candidate.filters
        for bit, one, of_creative in self._mixed:
            key = (bit, candidate.creative.id if of_creative else candidate.offer.id)
            holds = self._results.get(key)
            if holds is None:
                holds = self._results[key] = one.holds(self._known.with_creative(candidate))
            if not holds:
                failed |= bit
        return failed

    def reason(self, bit: int) -> Reason:
        """Why a filter removes a candidate."""
        return self._board.filters[bit].reason

    def numbers(self, bit: int, candidate: Candidate) -> dict[str, Any]:
        """What a filter read for a candidate, by field."""
        environment = self._known.with_creative(candidate)
        return {field: read(environment) for field, read in self._board.filters[bit].readers.items()}


#: What `offer.*` holds of every offer beside its category's custom fields, by attribute.
OFFER_FIELDS: Mapping[str, str] = {
    "id": "id",
    "key": "key",
    "name": "name",
    "tags": "tags",
    "priority": "priority",
    "weight": "weight",
    "businessValue": "business_value",
    "categoryId": "category_id",
    "subCategoryId": "sub_category_id",
    "mandatory": "mandatory",
}

#: What `creative.*` holds, by attribute.
CREATIVE_FIELDS: Mapping[str, str] = {
    "id": "id",
    "key": "key",
    "name": "name",
    "channelId": "channel_id",
    "placementId": "placement_id",
    "weight": "weight",
    "format": "format",
    "locale": "locale",
}


def offer_fields(offer: Offer, custom: Mapping[str, Any]) -> dict[str, Any]:
    """`offer.*`: what every offer has, under the custom fields, which come first."""
    return {name: getattr(offer, attribute) for name, attribute in OFFER_FIELDS.items()} | dict(custom)


def creative_fields(creative: Creative) -> dict[str, Any]:
    """`creative.*`: what every creative has."""
    return {name: getattr(creative, attribute) for name, attribute in CREATIVE_FIELDS.items()}
