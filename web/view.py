"""The base of all views: request id, places, tenant, body, errors, metrics, JSON.

A view says its path and one coroutine for each method it takes; it gets a `Call` and gives an `Answer`.
`__call__` is overridden, which leaves out Faust's sensors: a view then costs as little as a bare handler.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, cast

import msgspec
import structlog
from aiohttp import hdrs, web
from faust.web import View
from multidict import MultiMapping

from app.decision.tiers import Rate, WindowName, rate_of
from tables.codec import MissingValueError
from tables.partition import PartitionClosedError
from tables.store import StoreError
from web.access import Caller, Operation, Role, check_access
from web.auth import Authenticator
from web.body import arriving_body, body_there, check_body
from web.caller import REQUEST_ID, Headers, request_id
from web.cors import granted_headers, is_preflight, note_caller, preflight_headers
from web.engine import Engine
from web.errors import (
    NOT_READY,
    OVERLOADED,
    ApiError,
    ErrorBody,
    internal_error,
    method_not_allowed,
    not_ready,
)
from web.forwarding import ElsewhereError, Forwarded, Forwarder, check_application
from web.secure_headers import SECURE_HEADERS
from web.traffic import Places, Traffic
from web.vouching import check_body as check_vouched

log = structlog.get_logger(__name__)

JSON = "application/json"
_NO_CONTENT = 204
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_KNOWN_METHODS = frozenset({*_METHODS, "HEAD", "OPTIONS"})

#: What a path's variable may be, between its name and the closing brace.
PATH_PATTERN = re.compile(r":[^}]+\}")

encode = msgspec.json.Encoder().encode

#: Who calls where nobody is asked for a key.
_NOBODY = Caller("", Role.VIEWER, frozenset(), "nobody")


class UndeclaredOperationError(Exception):
    """A view has methods that its `operations` do not declare, or the other way round. Internal."""


class Call:
    """One request, as a view's methods see it. `path` holds the path's variables, decoded."""

    __slots__ = ("_request", "body", "caller", "headers", "path", "request_id", "tenant_id")

    def __init__(self, request: web.Request, request_id: str, caller: Caller, body: bytes) -> None:
        self._request = request
        self.request_id = request_id
        self.caller = caller
        self.tenant_id = caller.tenant_id
        self.headers: Headers = request.headers
        self.path: Mapping[str, str] = request.match_info
        self.body = body

    @property
    def request(self) -> web.Request:
        """The request itself, for a view that `streams`."""
        return self._request

    @property
    def gone(self) -> bool:
        """Whether the client has left, so that nobody waits for an answer; any thread may ask."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    @property
    def query(self) -> MultiMapping[str]:
        """The parameters of the path, decoded."""
        return self._request.query


class Answer:
    """What a view answers: an encoded body, its status and headers."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> None:
        self.body = body
        self.status = status
        self.headers = headers
        self.content_type = content_type


Method = Callable[[Call], Awaitable[Answer]]


class ApiView(View):
    """One path of the contract. `routes.mount` binds what it works with before it is used."""

    engine: ClassVar[Engine]
    traffic: ClassVar[Traffic]
    forwarder: ClassVar[Forwarder]
    authenticator: ClassVar[Authenticator]
    #: What each method is and who may call it; HEAD is GET.
    operations: ClassVar[Mapping[str, Operation]] = {}
    #: The longest body, bytes; None is what the settings say for all.
    body_limit_bytes: ClassVar[int | None] = None
    #: What its bodies hold while they arrive; None is a place among all views' bodies.
    places: Places | None = None
    #: For operators: without a key or tenant, and answered under overload too.
    operational: ClassVar[bool] = False
    #: What its calls count as, where a tenant's rate is limited.
    window: ClassVar[WindowName] = "calls"
    #: Whether it reads the body itself, as it arrives.
    streams: ClassVar[bool] = False
    #: Answered also before the catalogue is read, where callers are known without it.
    without_catalogue: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._handlers: dict[str, Method] = {
            method: cast(Method, self.methods[method.lower()])
            for method in _METHODS
            if getattr(type(self), method.lower()) is not getattr(View, method.lower())
        }
        if set(self._handlers) != set(self.operations):
            raise UndeclaredOperationError(type(self).__name__)
        self._operations = dict(self.operations)
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]
            self._operations["HEAD"] = self._operations["GET"]
        self._allow = ", ".join(self._handlers)
        self._route = PATH_PATTERN.sub("}", self.view_path)
        self._seconds = self.engine.metrics.http_request_seconds.labels(self._route)
        self._counters: dict[tuple[str, int], Any] = {}

    def get_methods(self) -> set[str]:
        """All methods are routed here, so that a wrong one is answered as the contract says."""
        return {"*"}

    async def __call__(self, request: Any) -> web.Response:
        return await self._respond(cast(web.Request, request))

    async def _respond(self, request: web.Request) -> web.Response:
        started_s = time.perf_counter()
        traffic = self.traffic
        own_id = request_id(request.headers, self.engine.chance)
        traffic.in_flight += 1
        try:
            answer = await self._answer(request, own_id)
        except ApiError as error:
            if error.code == OVERLOADED:
                self.engine.metrics.http_overloaded_total.inc()
            answer = render(error, own_id)
        except (PartitionClosedError, StoreError, MissingValueError):
            answer = render(not_ready("The customer's partition is recovering or moving; retry."), own_id)
        except Exception:
            # Whatever failed: the caller gets JSON, the log has the cause.
            log.exception("request failed", route=self._route, request_id=own_id)
            answer = render(internal_error(), own_id)
        finally:
            traffic.in_flight -= 1
        self._count(request.method, answer.status, time.perf_counter() - started_s)
        return to_response(answer, own_id, granted_headers(request))

    async def _answer(self, request: web.Request, own_id: str) -> Answer:
        method = request.method
        handler = self._handlers.get(method)
        if handler is None:
            if method == hdrs.METH_OPTIONS and not self.operational and is_preflight(request.headers):
                return self._preflight(request.headers)
            raise method_not_allowed(method, self._allow)
        if self.operational:
            return await handler(Call(request, own_id, _NOBODY, b""))
        self.traffic.check()
        check_application(request.headers, self.engine.settings.app_id)
        if not self.engine.catalogue_ready() and not self._knows_anyway():
            # Nobody is known before it is: keys are part of it.
            raise not_ready("The catalogue is not read yet; retry.")
        caller = self.authenticator.caller(request)
        note_caller(request, self.engine.catalogue(), caller.tenant_id)
        if (rate := self._rate(caller)) is not None:
            await self.engine.limits.admit(caller.tenant_id, rate)
        check_access(caller, self._operations[method])
        body = b""
        if method in _WITH_BODY and not self.streams:
            body = await self._body(request, caller, self._operations[method].body_types)
            check_vouched(caller, body)
        call = Call(request, own_id, caller, body)
        try:
            return await handler(call)
        except ElsewhereError as elsewhere:
            return await self._from_owner(request, call, elsewhere.partition)

    async def _body(self, request: web.Request, caller: Caller, types: tuple[str, ...]) -> bytes:
        limit_bytes = self.body_limit_bytes or self.engine.settings.body_limit_bytes
        check_body(request, limit_bytes, types)
        if request.content.is_eof():
            return body_there(request, limit_bytes)
        with self.traffic.arriving(caller.tenant_id, self.places):
            return await arriving_body(request, limit_bytes)

    def _rate(self, caller: Caller) -> Rate | None:
        if caller.forwarded:
            # The worker that sent it on counted it.
            return None
        return rate_of(self.engine.catalogue().tenant(caller.tenant_id).settings, self.window)

    def _preflight(self, headers: Headers) -> Answer:
        if not self.engine.catalogue_ready():
            raise not_ready("The catalogue is not read yet; retry.")
        return Answer(b"", 204, preflight_headers(headers, self.engine.catalogue(), self._allow))

    def _knows_anyway(self) -> bool:
        """Whether neither this view nor who calls it needs the catalogue."""
        return self.without_catalogue and self.engine.settings.auth_mode == "sandbox"

    async def _from_owner(self, request: web.Request, call: Call, partition: int) -> Answer:
        try:
            found = await self.forwarder.forward(request, call.body, call.request_id, partition, call.caller)
        except ApiError as error:
            stale = self._stale(request.method, call, partition) if error.code == NOT_READY else None
            if stale is None:
                raise
            return stale
        stale = self._stale(request.method, call, partition) if _refused(found) else None
        return stale or Answer(found.body, found.status, found.headers)

    def _stale(self, method: str, call: Call, partition: int) -> Answer | None:
        try:
            return self.stale(method, call, partition)
        except ApiError:
            # What an older state refuses, the owner might not.
            return None

    def stale(self, method: str, call: Call, partition: int) -> Answer | None:
        """An answer from a standby when the owner has none; None when there must not be one."""
        return None

    def _count(self, method: str, status: int, seconds: float) -> None:
        counter = self._counters.get((method, status))
        if counter is None:
            shown = method if method in _KNOWN_METHODS else "other"
            counter = self.engine.metrics.http_requests_total.labels(self._route, shown, str(status))
            if shown == method:
                self._counters[method, status] = counter
        counter.inc()
        self._seconds.observe(seconds)


class NotFoundView(ApiView):
    """Every path that nothing else answers."""

    view_name = "not-found"
    # Not `.*`, which a line feed in the path would escape.
    view_path = r"/{path:[\s\S]*}"
    operational = True

    async def _answer(self, request: web.Request, own_id: str) -> Answer:
        raise ApiError(404, "NOT_FOUND", "There is nothing at this path.")


def _refused(found: Forwarded) -> bool:
    """Whether the owner certainly did nothing: it moves or recovers."""
    return found.status == 503 and f'"code":"{NOT_READY}"'.encode() in found.body


def to_response(answer: Answer, own_id: str, granted: Mapping[str, str] | None = None) -> web.Response:
    """An answer on its way out, with the headers of every answer; those of its own replace them.

    Args:
        granted: headers that let a browser's page read it.
    """
    headers = SECURE_HEADERS.copy()
    if answer.status != _NO_CONTENT:
        headers[hdrs.CONTENT_TYPE] = answer.content_type
    headers[REQUEST_ID] = own_id
    if answer.headers:
        headers.update(answer.headers)
    if granted:
        headers.update(granted)
    response = web.Response(body=answer.body, status=answer.status, headers=headers)
    if hdrs.CONNECTION in headers:
        response.force_close()
    return response


def render(error: ApiError, own_id: str) -> Answer:
    """An error as the contract shows it."""
    body = encode(ErrorBody(error.message, error.code, error.problems, own_id))
    return Answer(body, error.status, error.headers)
