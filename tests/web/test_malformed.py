"""What is no sound HTTP: each shape's answer, and that nothing hides behind it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.web.harness import Client, Worker, running
from tests.web.raw import PATIENCE_S, RawAnswer, connect, exchange

HOST = b"Host: x\r\nX-Tenant-Id: shop\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST
POST = b"POST /api/v1/events/ingest HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HIDDEN = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

#: Shape, status, words of the answer. The connection ends with each of them.
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "bytes": (b"\x00\x01\x02\r\n\r\n", "method"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "method"),
    "HTTP/0.9": (b"GET /health\r\n\r\n", "first line"),
    "HTTP/2, by its preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not valid"),
    "HTTP/2, by its line": (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", "first line"),
    "HTTP/9.9": (b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n", "first line"),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", "Missing 'Host'"),
    "two hosts": (GET + b"Host: y\r\n\r\n", "Duplicate 'Host'"),
    "a method that is none": (b"G@T /health HTTP/1.1\r\nHost: x\r\n\r\n", "method"),
    "a method in lower case": (b"get /health HTTP/1.1\r\nHost: x\r\n\r\n", "method"),
    "no target": (b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", "target"),
    "a target without a slash": (b"GET health HTTP/1.1\r\nHost: x\r\n\r\n", "target"),
    "a URL without a host": (b"GET http:///health HTTP/1.1\r\nHost: x\r\n\r\n", "target"),
    "a target of other bytes": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", "target"),
    "a target with a NUL": (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", "target"),
    "a long target": (b"GET /" + b"a" * 8_190 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "too long"),
    "a long header": (GET + b"A: " + b"a" * 8_200 + b"\r\n\r\n", "too long"),
    "many headers": (GET + b"".join(b"A%d: b\r\n" % i for i in range(120)) + b"\r\n", "Too many headers"),
    "a large head": (
        GET + b"".join(b"A%d: %s\r\n" % (i, b"b" * 4_000) for i in range(5)) + b"\r\n",
        "larger than 16384",
    ),
    "a large head that does not end": (GET + (b"A: " + b"b" * 4_000 + b"\r\n") * 5, "larger than 16384"),
    "a header without a colon": (GET + b"abc\r\n\r\n", "Invalid header token"),
    "a header's name with a space": (GET + b"A b: c\r\n\r\n", "Invalid header token"),
    "a header with a NUL": (GET + b"A: \x00\r\n\r\n", "Invalid header value"),
    "a folded header": (GET + b"A: b\r\n c\r\n\r\n", "whitespace"),
    "bare line feeds": (b"GET /health HTTP/1.1\nHost: x\n\n", "first line"),
    "an expectation that is none": (POST + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", "expects"),
    "an old websocket": (GET + b"Sec-WebSocket-Key1: a\r\n\r\n", "headers"),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + HIDDEN, "Duplicate"),
    "one length twice": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + HIDDEN, "Duplicate"),
    "a length, then chunks": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        "Content-Length",
    ),
    "chunks, then a length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
        "Content-Length",
    ),
    "an unknown encoding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
    "chunks of something else": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding",
    ),
    "chunks not last": (
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding",
    ),
    "chunks twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding",
    ),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", "Content-Length"),
    "a length with a sign": (POST + b"Content-Length: +2\r\n\r\n{}", "Content-Length"),
    "a length in words": (POST + b"Content-Length: two\r\n\r\n{}", "Content-Length"),
    "a length beyond numbers": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", "Content-Length"),
    "a chunk's size in words": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", "chunk size"),
    "a chunk's negative size": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", "chunk size"),
    "a chunk longer than said": (CHUNKED + b"2\r\n{}xx\r\n0\r\n\r\n", "chunk data"),
    "a chunk beyond numbers": (CHUNKED + b"f" * 20 + b"\r\n{}", "size"),
}

#: Requests that are HTTP: method and target, status.
READABLE = {
    "an URL with its host": (b"GET http://x/health", 200),
    "no path": (b"OPTIONS *", 404),
    "a stray percent sign": (b"GET /api/v1/customers/%zz", 400),
    "a percent sign at the end": (b"GET /api/v1/customers/ann%", 400),
    "bytes that are no UTF-8": (b"GET /api/v1/customers/%ff", 400),
    "half a letter": (b"GET /api/v1/customers/%c3", 400),
    "half a pair": (b"GET /api/v1/customers/%ed%a0%80", 400),
    "a query that is no UTF-8": (b"GET /api/v1/decision-traces?customerId=%ff", 400),
    "a query with a stray percent sign": (b"GET /api/v1/decision-traces?customerId=a&x=%", 400),
    "brackets": (b"GET //[", 404),
    "dots": (b"GET /api/v1/../../health", 404),
    "a proxy's request": (b"CONNECT x:80", 405),
    "a proxy's request with a path": (b"CONNECT /x", 405),
    "another method": (b"TRACE /health", 405),
    "an upgrade": (b"GET /health HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade", 200),
    "an upgrade to HTTP/2": (b"GET /health HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade", 200),
}


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop that workers run on, whose transports are not asyncio's; `test_fuzz_bytes` has the other."""
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker that soon closes what is idle, so that a connection's end is seen."""
    with running(tmp_path, keep_alive_ms=300, head_timeout_ms=2_000) as made:
        yield made


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with worker.client() as made:
        yield made


def check(answer: RawAnswer, status: int) -> None:
    """The contract's answer, whatever was asked."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "aiohttp" not in str(answer.headers).lower()
    if status >= 400:
        body = answer.json()
        assert set(body) == {"error", "code", "details", "requestId"}
        assert body["requestId"] == answer.headers["x-request-id"]
        for leak in ("Traceback", "aiohttp", "\\x", "b'"):
            assert leak not in body["error"]


@pytest.mark.parametrize("shape", UNREADABLE)
async def test_what_cannot_be_read_is_400_once_and_the_connection_ends(client: Client, shape: str) -> None:
    sent, told = UNREADABLE[shape]
    answers = await exchange(client, sent)
    assert len(answers) == 1, answers
    check(answers[0], 400)
    assert answers[0].json()["code"] == "VALIDATION_ERROR"
    assert answers[0].json()["details"]
    assert told in answers[0].json()["error"]
    assert answers[0].headers["connection"] == "close"
    assert (await client.get("/health")).status == 200
    assert "offertide_http_malformed_total{" in await (await client.get("/metrics")).text()


@pytest.mark.parametrize("shape", READABLE)
async def test_what_can_be_read_gets_its_answer(client: Client, shape: str) -> None:
    line, status = READABLE[shape]
    if b"HTTP/1.1" not in line:
        line += b" HTTP/1.1"
    answers = await exchange(client, line + b"\r\n" + HOST + b"\r\n")
    assert len(answers) == 1
    check(answers[0], status)


@pytest.mark.parametrize("at", range(1, 120, 7))
async def test_a_request_in_pieces_is_one_request(client: Client, at: int) -> None:
    sent = POST + b"Content-Length: 2\r\n\r\n{}"
    raw = await connect(client)
    raw.writer.write(sent[:at])
    await raw.writer.drain()
    assert (await raw.answer(sent[at:])).json()["error"].startswith("customerId")
    await raw.close()


async def test_requests_in_a_row_are_answered_in_order_up_to_the_broken_one(client: Client) -> None:
    answers = await exchange(client, HIDDEN + GET.replace(b"/health", b"/nothing") + b"\r\n" + HIDDEN)
    assert [one.status for one in answers] == [200, 404, 200]
    raw = await connect(client)
    assert (await raw.answer(HIDDEN)).status == 200
    broken = await raw.answers(b"\x00\r\n\r\n" + HIDDEN)
    assert [one.status for one in broken] == [400]


async def test_a_head_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    with running(tmp_path, head_limit_bytes=2_048, keep_alive_ms=300) as worker:
        async with worker.client() as client:
            bare = len(GET) + len(b"A: \r\n\r\n")
            fits = GET + b"A: " + b"b" * (2_048 - bare) + b"\r\n\r\n"
            assert len(fits) == 2_048
            assert [one.status for one in await exchange(client, fits)] == [200]
            over = fits.replace(b"A: ", b"A: b")
            assert [one.status for one in await exchange(client, over)] == [400]
            for size in (1, 700):
                raw = await connect(client)
                for begin in range(0, len(over) - size, size):
                    raw.writer.write(over[begin : begin + size])
                    await raw.writer.drain()
                assert [one.status for one in await raw.answers(over[-size:])] == [400]
                await raw.close()


async def test_a_body_that_breaks_off_is_no_request(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.body.ARRIVAL_TIMEOUT_S", 0.2)
    for sent in (POST + b"Content-Length: 20\r\n\r\n{}", CHUNKED + b"2\r\n{}\r\n"):
        answers = await exchange(client, sent)
        assert [one.status for one in answers] == [400]
        assert "did not arrive" in answers[0].json()["error"]


async def test_what_is_compressed_otherwise_than_said_is_400_without_a_stack(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answers = await exchange(client, POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
    assert [one.status for one in answers] == [400]
    check(answers[0], 400)
    assert "Traceback" not in caplog.text
    assert not [one for one in caplog.records if one.exc_info]


@pytest.mark.parametrize("coding", [b"zzz", b"gzip, gzip", b"compress", b"gzip\r\nContent-Encoding: gzip"])
@pytest.mark.parametrize("path", [b"/api/v1/events/ingest", b"/api/v1/customers/bulk"])
async def test_a_coding_that_is_not_undone_is_415(client: Client, coding: bytes, path: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Encoding: " + coding
    answers = await exchange(client, head + b"\r\nContent-Length: 2\r\n\r\n{}")
    assert [one.status for one in answers] == [415]
    assert "Content-Encoding" in answers[0].json()["error"]


@pytest.mark.parametrize("path", [b"/api/v1/events/ingest", b"/api/v1/customers/bulk"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 401),
        (b"X-Tenant-Id: shop\r\nContent-Type: text/html\r\n", 415),
        (b"X-Tenant-Id: shop\r\n", None),
        (b"X-Tenant-Id: shop\r\nContent-Length: 99999999\r\n", 413),
    ],
)
async def test_only_a_body_that_is_wanted_is_asked_for(
    client: Client, path: bytes, head: bytes, status: int | None
) -> None:
    raw = await connect(client)
    length = b"" if b"Content-Length" in head else b"Content-Length: 2\r\n"
    raw.writer.write(
        b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + head + length + b"\r\n"
    )
    async with asyncio.timeout(PATIENCE_S):
        line = await raw.reader.readline()
        if status is not None:
            assert line.startswith(b"HTTP/1.1 %d " % status)
        else:
            assert line + await raw.reader.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await raw.answer(b"{}")).status in (202, 400)
    await raw.close()


async def test_a_client_that_goes_before_it_is_asked_to_go_on_is_no_failure(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = await connect(client)
    raw.writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    raw.writer.write_eof()
    assert await raw.ended()
    assert (await client.get("/health")).status == 200
    assert "failed" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity"])
async def test_a_coding_that_is_undone_is_read(client: Client, coding: str) -> None:
    body = b"{}" if coding == "identity" else gzip.compress(b"{}")
    sent = POST + f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    answers = await exchange(client, sent)
    assert [one.status for one in answers] == [400]
    assert answers[0].json()["error"].startswith("customerId")
