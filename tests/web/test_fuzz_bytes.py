"""Whatever bytes a socket brings: errors of the contract or an end, never a 500, and the server lives on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.harness import Client, Worker, running
from tests.web.raw import RawAnswer, exchange

#: How long a connection may be silent before it is given up as answered.
QUIET_S = 0.03

TARGETS = st.sampled_from(
    [
        *(
            b"/health",
            b"/metrics",
            b"/",
            b"*",
            b"//",
            b"//[",
            b"http://x/health",
            b"x:80",
            b"/%",
            b"/%ff",
            b"/?%",
            b"",
        ),
        *(b"/api/v1/recommend", b"/api/v1/respond", b"/api/v1/events/ingest", b"/api/v1/customers/ann"),
        *(b"/" + b"a" * 9_000, b"/?" + b"a=b&" * 2_000, b"/\x00", b"/\xff", b"/a b", b"/#x", b"/..;/"),
    ]
)
METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"get", b"G T"]
)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b""]
)
HEADERS = st.sampled_from(
    [
        *(
            b"Host: x",
            b"Host: x",
            b"Host: [",
            b"Host:",
            b"X-Tenant-Id: shop",
            b"Content-Type: application/json",
        ),
        *(b"Content-Length: 0", b"Content-Length: 2", b"Content-Length: 5", b"Content-Length: -1"),
        *(b"Content-Length: 2, 2", b"Content-Length: 99999999999999999999", b"Content-Length : 2"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:\tchunked"),
        *(b"Transfer-Encoding: identity", b"Transfer-Encoding: xchunked", b"TE: trailers", b"Trailer: X"),
        *(
            b"Expect: 100-continue",
            b"Expect: x",
            b"Upgrade: websocket",
            b"Upgrade: h2c",
            b"Connection: Upgrade",
        ),
        *(
            b"Connection: close",
            b"Connection: keep-alive",
            b"Content-Encoding: gzip",
            b"Content-Encoding: br",
        ),
        *(
            b"Sec-WebSocket-Key1: x",
            b"X: " + b"a" * 9_000,
            b"X: \x00",
            b"X: \xff",
            b" X: y",
            b"X y: z",
            b"nothing",
        ),
        *(b"Origin: https://shop.example", b"Access-Control-Request-Method: POST", b"X-Request-Id: a\xff"),
    ]
)
BODIES = st.sampled_from(
    [
        *(
            b"",
            b"{}",
            b"{}xyz",
            b"2\r\n{}\r\n0\r\n\r\n",
            b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
            b"zz\r\n",
            b"-1\r\n{}",
        ),
        *(
            b"ffffffffffffffffff\r\n{}",
            b"2;a=b\r\n{}\r\n0\r\n\r\n",
            b"2\n{}\n0\n\n",
            b"0\r\n\r\nGET /health HTTP/1.1",
        ),
        *(b"2\r\n{}x\r\n0\r\n\r\n", b"\x1f\x8b\x08", b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 200),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something like a request, any of its parts wrong."""
    end = draw(st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r"]))
    line = b" ".join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))
    return end.join((line, *draw(st.lists(HEADERS, max_size=6)), b"", b"")) + draw(BODIES)


#: Several in a row, as smuggling and pipelining have it; or bytes.
SENT = st.lists(requests(), min_size=1, max_size=4).map(b"".join) | st.binary(min_size=1, max_size=300)

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Sockets:
    """A worker's server and connections to it, on a loop of their own."""

    def __init__(self, worker: Worker) -> None:
        self._loop = asyncio.new_event_loop()
        self._context = worker.client("bytes")
        self._client: Client = self._loop.run_until_complete(self._context.__aenter__())

    def answers(self, sent: bytes) -> list[RawAnswer]:
        return self._loop.run_until_complete(exchange(self._client, sent, QUIET_S))

    def alive(self) -> bool:
        return self._loop.run_until_complete(self._alive())

    async def _alive(self) -> bool:
        async with self._client.get("/health") as response:
            return response.status == 200

    def close(self) -> None:
        self._loop.run_until_complete(self._context.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture(scope="module")
def sockets() -> Iterator[Sockets]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as worker:
        made = Sockets(worker)
        yield made
        made.close()


@FUZZ
@given(sent=SENT)
def test_any_bytes_get_errors_of_the_contract_or_an_end(sockets: Sockets, sent: bytes) -> None:
    for answer in sockets.answers(sent):
        assert answer.status in (200, 204, 400, 401, 403, 404, 405, 413, 415, 503), answer
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        kind = answer.headers.get("content-type", "")
        assert kind == "application/json" or kind.startswith("text/plain; version=0.0.4")
        if answer.status >= 400 and answer.body:
            assert set(answer.json()) == {"error", "code", "details", "requestId"}
    assert sockets.alive()
