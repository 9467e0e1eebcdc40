"""POST /customers/bulk: many profiles, a JSON object a line, checked and written as they arrive.

Rules:

1.  202: what is `accepted` is durable on Kafka. It is folded soon after; a read at once may not see it.
2.  A bad line stops no other. A body that ends early (see `ndjson`) has the status of what is wrong with it,
    and still says what became of the lines before.
3.  Any worker takes any customer's lines: it needs Kafka, no partition.
4.  503 only when Kafka took no line at all. Four bodies are read at once, three of one
    tenant; one more is OVERLOADED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
from aiohttp import web

from app.decision.refusals import Problem
from web.access import Operation, Role, areas
from web.body import check_coding, go_on
from web.bulk_line import LINE_MAX_BYTES, BulkLine
from web.bulk_loading import ACCEPTED, REJECTED, RETRY, LineResult, Loading
from web.errors import ApiError, invalid, not_ready, pending, too_large
from web.ndjson import Bounds, LineReader
from web.traffic import Places
from web.view import Answer, ApiView, Call, encode

#: Lines of one body, blank ones included.
LINES_MAX = 10_000

#: Bodies read at once by one worker.
AT_ONCE_MAX = 4

_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

_NONE_TAKEN = "Kafka took no line: nothing was recorded; send the body again."
_NONE_SEEN = "It is unknown whether Kafka took any line; send the body again, it does no harm."


class BulkBody(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of each line that is not blank, in order; with an error, of those before it."""

    accepted: int
    rejected: int
    #: Not taken by Kafka: to be sent again, in this order.
    retry: int
    results: list[LineResult]
    error: str | None = None
    code: str | None = None
    #: There, if empty, when the others are.
    details: Sequence[Problem] | None = None
    request_id: str | None = None


class BulkView(ApiView):
    """Takes many customers' profiles at once."""

    view_name = "customers-bulk"
    view_path = "/api/v1/customers/bulk"
    streams = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "Merge into many customers' profiles, or replace them: one JSON object a line.",
            Role.EDITOR,
            areas("ingest"),
            body=BulkLine,
            body_types=_TYPES,
            answer=BulkBody,
            statuses={202: "Read to the end; accepted lines are durable."},
            error_answer=BulkBody,
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._places = Places(AT_ONCE_MAX - 1, AT_ONCE_MAX)

    def get_methods(self) -> set[str]:
        """POST alone: a customer may be called `bulk`, and everything else is about them."""
        return {"POST"}

    async def post(self, call: Call) -> Answer:
        request, limit_bytes = call.request, self.engine.settings.bulk_limit_bytes
        if not _is_lines(request):
            raise _not_lines()
        check_coding(request)
        if (request.content_length or 0) > limit_bytes:
            raise too_large(limit_bytes)
        with self._places.one(call.tenant_id), self.engine.metrics.bulk_bodies.track_inprogress():
            await go_on(request)
            return await self._load(call, LineReader(request.content, _bounds(limit_bytes)))

    async def _load(self, call: Call, reader: LineReader) -> Answer:
        engine = self.engine
        loading = Loading(engine.publisher, engine.settings.partitions, call.tenant_id, engine.metrics)
        stopped: ApiError | None = None
        try:
            try:
                async for line in reader.lines():
                    await loading.take(line)
            except ApiError as error:
                stopped = error
            await loading.finish()
        finally:
            await loading.abandon()
        return _answer(loading, stopped, call.request_id)


def _bounds(limit_bytes: int) -> Bounds:
    return Bounds(limit_bytes, LINE_MAX_BYTES, LINES_MAX)


def _answer(loading: Loading, stopped: ApiError | None, request_id: str) -> Answer:
    body = BulkBody(loading.count(ACCEPTED), loading.count(REJECTED), loading.count(RETRY), loading.results)
    if not loading.results and stopped is None:
        raise invalid((Problem("", "is empty; send a JSON object a line"),))
    if stopped is not None:
        body.error = f"{stopped.message} {_read(loading)}"
    elif body.retry and not body.accepted:
        stopped = not_ready(_NONE_TAKEN) if loading.certain else pending(_NONE_SEEN)
        body.error = stopped.message
    if stopped is None:
        return Answer(encode(body), 202)
    body.code, body.details, body.request_id = stopped.code, stopped.problems, request_id
    return Answer(encode(body), stopped.status, stopped.headers)


def _read(loading: Loading) -> str:
    """Up to where a body that ended early counts."""
    if not loading.results:
        return "No line was read."
    return f"Lines up to {loading.results[-1].line} were read: see results."


def _is_lines(request: web.Request) -> bool:
    """Whether the headers say lines of JSON in UTF-8; a body without a type is taken to be that."""
    if request.headers.get("Content-Type") is None:
        return True
    charset = request.charset
    return request.content_type in _TYPES and (charset is None or charset.lower() in ("utf-8", "utf8"))


def _not_lines() -> ApiError:
    message = f"The body must be one JSON object a line, in UTF-8: send Content-Type: {_TYPES[0]}."
    return ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
