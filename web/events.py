"""POST /events: up to 100 events of any customers and types, durable when it answers.

It does not wait for their folds: who must read what it wrote sends that event to /events/ingest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from app.decision.refusals import Problem
from web.access import Operation, Role, areas
from web.errors import ApiError
from web.event_batch import EventBatch, EventItems, Item, read_batch
from web.intake import take_all
from web.view import Answer, ApiView, Call, encode


class EventResult(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of one item, `index` from 0. `streamId` is null when it is in the spool, or rejected.

    A duplicate repeats an earlier item of the batch. `error`, `code` and `details` say why it was rejected.
    """

    index: int
    status: Literal["accepted", "rejected", "duplicate"]
    stream_id: str | None
    error: str | None = None
    code: str | None = None
    details: Sequence[Problem] = ()


class BatchTaken(msgspec.Struct, rename="camel"):
    """The answer: how many items are durable, how many were rejected, and each by itself."""

    accepted: int
    rejected: int
    results: list[EventResult]


class EventsView(ApiView):
    """Takes a batch of events, each to its customer's partition or to the spool."""

    view_name = "events"
    view_path = "/api/v1/events"
    without_catalogue = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "Take up to 100 customer events, to be counted soon.",
            Role.EDITOR,
            areas("ingest"),
            body=EventBatch | EventItems,
            answer=BatchTaken,
            statuses={202: "Each item that is said to be accepted is durable."},
        )
    }

    async def post(self, call: Call) -> Answer:
        engine = self.engine
        items = read_batch(call.body, call.tenant_id, engine.clock_ms(), engine.chance)
        places = [place for place, item in enumerate(items) if item.event is not None]
        events = [item.event for item in items if item.event is not None]
        outcomes = await take_all(engine, events)
        failed = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
        if failed and len(failed) == len(outcomes):
            raise failed[0]
        results = _results(items, dict(zip(places, outcomes, strict=True)))
        rejected = sum(result.status == "rejected" for result in results)
        return Answer(encode(BatchTaken(len(results) - rejected, rejected, results)), 202)


def _results(items: Sequence[Item], outcomes: Mapping[int, bool | ApiError]) -> list[EventResult]:
    results: list[EventResult] = []
    for place, item in enumerate(items):
        if item.refused is not None:
            results.append(_rejected(place, item.refused))
        elif item.repeats is not None:
            earlier = results[item.repeats]
            status = earlier.status if earlier.status == "rejected" else "duplicate"
            results.append(msgspec.structs.replace(earlier, index=place, status=status))
        elif item.event is not None:
            outcome = outcomes[place]
            if isinstance(outcome, ApiError):
                results.append(_rejected(place, outcome))
            else:
                results.append(EventResult(place, "accepted", item.event.event_id if outcome else None))
    return results


def _rejected(place: int, error: ApiError) -> EventResult:
    return EventResult(place, "rejected", None, error.message, error.code, error.problems)
