"""Segments: the customers who meet a condition, and whether one customer does.

Rules of this module:

1.  A segment's filter reads `customer.*` and `metrics.*`. Only an active segment has customers.
2.  A segment is evaluated when something asks, once a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.decision.conditions import Condition, Environment, compile_condition
from app.decision.entities import Segment
from app.decision.index import EntityIndex

#: What a segment's filter may read.
SEGMENT_NAMESPACES = frozenset({"customer", "metrics"})


def compile_segments(index: EntityIndex) -> Mapping[str, Condition]:
    """The filters of a tenant's active segments, by id."""
    compiled = {
        segment.id: compile_condition(segment.filter, SEGMENT_NAMESPACES, "filter")
        for segment in index.all("segments", Segment)
        if segment.status == "active"
    }
    return {segment_id: one for segment_id, one in compiled.items() if not isinstance(one, list)}


class Memberships:
    """Which segments one customer is in now.

    Args:
        segments: The filters of the active segments by id.
        environment: Gives what they read; called only when a segment is evaluated.
        told: Ids of segments that a trusted caller says the customer is in.
    """

    __slots__ = ("_build", "_known", "_segments", "_told")

    def __init__(
        self,
        segments: Mapping[str, Condition],
        environment: Callable[[], Environment],
        told: frozenset[str] = frozenset(),
    ) -> None:
        self._segments = segments
        self._build = environment
        self._told = told
        self._known: dict[str, bool] = {}

    def in_segment(self, segment_id: str) -> bool:
        """Whether the customer is in the segment with this id; in an unknown one nobody is."""
        known = self._known.get(segment_id)
        if known is None:
            holds = self._segments.get(segment_id)
            known = holds is not None and (segment_id in self._told or holds(self._build()))
            self._known[segment_id] = known
        return known
