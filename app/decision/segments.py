"""Segments: the customers who meet a condition, and whether one customer does.

Rules of this module:

1.  A segment's filter reads `customer.*` (attributes, `customer.tags`, `customer.consent`) and `metrics.*`,
    always with the namespace, and everything the tenant knows, whatever a flow's `enrich` lists.
2.  Only an active segment has customers: in a draft, paused or archived one there is nobody.
3.  A segment is evaluated when something asks, once a request.
4.  What a caller says adds to what is evaluated: nobody is taken out of a segment, and nobody comes into one
    that is not active. Whether callers are trusted is decided where the request is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.decision.conditions import Condition, Environment, compile_condition
from app.decision.entities import Segment
from app.decision.index import EntityIndex
from app.decision.problems import Problem

#: What a segment's filter may read.
SEGMENT_NAMESPACES = frozenset({"customer", "metrics"})


def compile_segment(segment: Segment, path: str = "filter") -> Condition | list[Problem]:
    """The segment's filter as a function of an environment, or what is wrong with it."""
    return compile_condition(segment.filter, SEGMENT_NAMESPACES, path)


def compile_segments(index: EntityIndex) -> Mapping[str, Condition]:
    """The filters of a tenant's active segments, by id."""
    compiled = {
        segment.id: compile_segment(segment)
        for segment in index.all("segments", Segment)
        if segment.status == "active"
    }
    return {segment_id: one for segment_id, one in compiled.items() if not isinstance(one, list)}


class Memberships:
    """Which segments one customer is in now.

    Args:
        segments: The filters of the active segments by id.
        environment: Gives what they read; called at most once, and only when a segment is evaluated.
        told: Ids of segments that a trusted caller says the customer is in.
    """

    __slots__ = ("_build", "_environment", "_known", "_segments", "_told")

    def __init__(
        self,
        segments: Mapping[str, Condition],
        environment: Callable[[], Environment],
        told: frozenset[str] = frozenset(),
    ) -> None:
        self._segments = segments
        self._build = environment
        self._environment: Environment | None = None
        self._told = told
        self._known: dict[str, bool] = {}

    def in_segment(self, segment_id: str) -> bool:
        """Whether the customer is in the segment with this id; in an unknown one nobody is."""
        known = self._known.get(segment_id)
        if known is None:
            known = self._known[segment_id] = self._evaluate(segment_id)
        return known

    def _evaluate(self, segment_id: str) -> bool:
        holds = self._segments.get(segment_id)
        if holds is None:
            return False
        if segment_id in self._told:
            return True
        if self._environment is None:
            self._environment = self._build()
        return holds(self._environment)
