"""The HTTP server: aiohttp's, with a bound on its connections and an eye on slow ones.

Rules:

1.  Past the bound a connection is answered 503 at once and closed, before anything of it is read.
2.  Rounds over all connections find the slow ones: one timer for the server, nothing for each request.
3.  Nothing that the server answers by itself is a page or plain text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.web import AppRunner, HTTPException, Request, Server, StreamResponse

from config.metrics import Metrics
from config.settings import Settings
from web.caller import request_id
from web.connection import Connection
from web.errors import ApiError, overloaded
from web.malformed import CLOSE, check_target, refused_by_server
from web.view import render, to_response

#: Longest request target, and longest header with its name, bytes.
LINE_LIMIT_BYTES = 8_190
HEADERS_MAX = 100

#: What is left of a body that nobody wants is read for so long, s, so that the client sees its answer.
LINGER_S = 2.0

#: How long a stop waits for requests under way, s; twice at most, and less than a worker's own bound.
STOP_S = 6.0

_ROUND_S = 1.0

_Handler = Callable[[Any], Awaitable[StreamResponse]]


@dataclass(frozen=True)
class Bind:
    """What one listening address allows. `name` is what its metrics are labelled with: api or ops."""

    name: str
    settings: Settings
    metrics: Metrics
    chance: Callable[[], str]


class BoundedServer(Server):
    """Makes a connection of each that comes, if there is room, and cuts those that are slow."""

    def __init__(self, bind: Bind, handler: _Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        settings = bind.settings
        self.head_limit_bytes = settings.head_limit_bytes
        self.chance = bind.chance
        self._bind = bind
        self._most = settings.max_connections
        self._head_s = settings.head_timeout_ms / 1000
        self._round_s = min(_ROUND_S, self._head_s / 4)
        self._next_round = self._loop.call_later(self._round_s, self._go_round)

    def __call__(self) -> Connection:
        return Connection(self, self, loop=self._loop, **self._kwargs)

    def refuse(self) -> bytes | None:
        if len(self._connections) < self._most:
            return None
        self._bind.metrics.http_connections_refused_total.labels(self._bind.name).inc()
        return _raw(overloaded(), f"req_{self.chance()}")

    def malformed(self, reason: str) -> None:
        self._bind.metrics.http_malformed_total.labels(reason).inc()

    def stop_rounds(self) -> None:
        """Look after the connections no more."""
        self._next_round.cancel()

    def _go_round(self) -> None:
        self._next_round = self._loop.call_later(self._round_s, self._go_round)
        now_s = self._loop.time()
        self._bind.metrics.http_connections.labels(self._bind.name).set(len(self._connections))
        for connection in list(self._connections):
            reason = connection.overdue(now_s, self._head_s) if isinstance(connection, Connection) else None
            if reason is not None and isinstance(connection, Connection):
                self._bind.metrics.http_connections_cut_total.labels(reason).inc()
                connection.cut()


class BoundedRunner(AppRunner):
    """Runs an application in a `BoundedServer`."""

    __slots__ = ("_bind",)

    def __init__(self, app: web.Application, bind: Bind) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=STOP_S,
            keepalive_timeout=bind.settings.keep_alive_ms / 1000,
            max_line_size=LINE_LIMIT_BYTES,
            max_field_size=LINE_LIMIT_BYTES,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
        )
        self._bind = bind

    async def _make_server(self) -> Server:
        plain = await super()._make_server()
        for route in self.app.router.routes():
            # A view says by itself that it wants a body, once it knows who calls.
            route._expect_handler = _check_expectation
        return BoundedServer(
            self._bind,
            _in_json(plain.request_handler, self._bind),
            request_factory=plain.request_factory,
            loop=asyncio.get_running_loop(),
            **plain._kwargs,
        )

    async def cleanup(self) -> None:
        if isinstance(self._server, BoundedServer):
            self._server.stop_rounds()
        await super().cleanup()


async def _check_expectation(request: web.Request) -> None:
    """Raises HTTPExpectationFailed for an expectation that is not HTTP's one."""
    if request.version == HttpVersion11 and request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed


def _in_json(handler: _Handler, bind: Bind) -> _Handler:
    """The handler, its refusals before any view is asked rendered as the contract says."""

    async def answer(request: Request) -> StreamResponse:
        try:
            if request.method == hdrs.METH_CONNECT:
                # What would follow is no HTTP.
                raise ApiError(405, "METHOD_NOT_ALLOWED", "This is no proxy.", headers=CLOSE)
            check_target(request.raw_path)
            return await handler(request)
        except HTTPException as error:
            refused = refused_by_server(error)
        except ApiError as error:
            refused = error
        own_id = request_id(request.headers, bind.chance)
        bind.metrics.http_malformed_total.labels("refused").inc()
        return to_response(render(refused, own_id), own_id)

    return answer


def _raw(error: ApiError, own_id: str) -> bytes:
    """An error as the bytes of a whole answer, for a connection that is not served."""
    response = to_response(render(error, own_id), own_id)
    body = response.body
    assert isinstance(body, bytes)
    response.headers[hdrs.CONNECTION] = "close"
    response.headers[hdrs.CONTENT_LENGTH] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}\r\n".encode() + body
