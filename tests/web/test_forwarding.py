"""A request at a worker that does not own its customer: sent on to the owner, whole, and once."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from app.child import free_ports
from tests.web.harness import HEADERS, PARTITIONS, Client, Worker, running
from web.access import Caller, Role
from web.errors import ApiError
from web.forwarding import Forwarder
from web.outbound import is_worker_url

RESPONSE = {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click"}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Worker]:
    """A worker that owns nothing."""
    worker = Worker(tmp_path / "other", web_port=free_ports(1)[0])
    yield worker
    worker.close()


@pytest.fixture
async def asked(other: Worker) -> AsyncIterator[Client]:
    """A client of the worker that owns nothing."""
    async with other.client("other") as client:
        yield client


@pytest.fixture
async def owner(tmp_path: Path, other: Worker) -> AsyncIterator[tuple[Worker, Client]]:
    """A worker that owns everything, known to the other one."""
    with running(tmp_path / "owner", max_in_flight=16) as worker:
        async with worker.client("owner") as client:
            other.owners = dict.fromkeys(range(PARTITIONS), _url(client))
            yield worker, client


def _url(client: Client) -> str:
    return str(client.make_url("/")).rstrip("/")


@asynccontextmanager
async def _answering(worker: Worker, handler: Any) -> AsyncIterator[None]:
    """A server that stands where the owner would be."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    worker.documented = False
    async with TestServer(app) as server:
        worker.owners = dict.fromkeys(range(PARTITIONS), str(server.make_url("/")).rstrip("/"))
        yield


async def test_the_owners_answer_comes_back_as_it_is(
    other: Worker, asked: Client, owner: tuple[Worker, Client]
) -> None:
    worker, direct = owner
    worker.know("ann/1")
    headers = {**HEADERS, "X-Request-Id": "mine"}
    for method, path in (("GET", "/api/v1/customers/ann%2F1"), ("GET", "/api/v1/customers/bob?x=%20y&x")):
        for verb in (method, "HEAD"):
            through = await asked.request(verb, path, headers=headers)
            at_owner = await direct.request(verb, path, headers=headers)
            assert through.status == at_owner.status
            assert await through.read() == await at_owner.read()
            names = ("Content-Type", "Content-Length", "X-Request-Id", "Retry-After")
            assert [through.headers.get(name) for name in names] == [
                at_owner.headers.get(name) for name in names
            ]
    assert other.metrics.http_forwarded_total.labels("answered")._value.get() == 4


async def test_a_refusal_of_the_owner_comes_back_too(asked: Client, owner: tuple[Worker, Client]) -> None:
    worker, _ = owner
    worker.leased = False
    response = await asked.post("/api/v1/recommend", json={"customerId": "ann"}, headers=HEADERS)
    body = await response.json()
    assert (response.status, body["code"], response.headers["Retry-After"]) == (503, "NOT_READY", "1")
    assert "membership" in body["error"]


async def test_method_path_body_and_headers_are_sent_as_they_came(other: Worker, asked: Client) -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, request.headers.copy(), await request.read()))
        return web.Response(status=207, body=b"\x00\xff", headers={"X-Owner": "yes", "ETag": '"1"'})

    headers = {**HEADERS, "Idempotency-Key": "k/1", "Connection": "X-Mine, keep-alive", "X-Mine": "dropped"}
    body = json.dumps(RESPONSE).encode()
    async with _answering(other, handler):
        response = await asked.post(
            "/api/v1/respond?a=b%26c+d%20e",
            data=gzip.compress(body),
            headers={**headers, "Content-Type": "application/json", "Content-Encoding": "gzip"},
        )
        assert (response.status, await response.read()) == (207, b"\x00\xff")
        assert (response.headers["X-Owner"], response.headers["ETag"]) == ("yes", '"1"')
    method, path, received, received_body = seen[0]
    assert (method, path, received_body) == ("POST", "/api/v1/respond?a=b%26c+d%20e", body)
    assert received["Idempotency-Key"] == "k/1"
    assert received["X-Tenant-Id"] == HEADERS["X-Tenant-Id"]
    assert received["X-Request-Id"] == response.headers["X-Request-Id"]
    assert received["X-Offertide-Forwarded-By"] == f"offertide {other.settings.worker_url}"
    assert "X-Mine" not in received
    assert "Content-Encoding" not in received


async def test_a_request_that_was_sent_on_is_not_sent_on_again(
    other: Worker, asked: Client, owner: tuple[Worker, Client]
) -> None:
    worker, _ = owner
    for number in range(PARTITIONS):
        worker.partitions.release(number, "moved")
    worker.owners = dict.fromkeys(range(PARTITIONS), _url(asked))
    response = await asked.get("/api/v1/customers/ann", headers=HEADERS)
    assert response.status == 503
    assert "moves" in (await response.json())["error"]
    assert worker.metrics.http_forwarded_total.labels("refused")._value.get() == 1


@pytest.mark.parametrize("known", ["nobody", "itself"])
async def test_without_an_owner_it_is_not_ready(other: Worker, asked: Client, known: str) -> None:
    if known == "itself":
        other.owners = dict.fromkeys(range(PARTITIONS), other.settings.worker_url)
    response = await asked.post("/api/v1/respond", json=RESPONSE, headers=HEADERS)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert (await response.json())["code"] == "NOT_READY"


async def test_an_owner_that_is_gone_did_not_get_it(other: Worker, asked: Client) -> None:
    other.owners = dict.fromkeys(range(PARTITIONS), f"http://127.0.0.1:{free_ports(1)[0]}")
    response = await asked.post("/api/v1/respond", json=RESPONSE, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/api/v1/customers/ann", None, "NOT_READY"),
        ("POST", "/api/v1/respond", RESPONSE, "PENDING"),
        ("PUT", "/api/v1/customers/ann", {}, "PENDING"),
    ],
)
async def test_an_answer_that_is_lost_leaves_a_write_pending(
    other: Worker, asked: Client, method: str, path: str, body: Any, code: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with _answering(other, handler):
        response = await asked.request(method, path, json=body, headers=HEADERS)
        assert (response.status, (await response.json())["code"]) == (503, code)
        assert response.headers["Retry-After"] == "1"


async def test_an_owner_that_hangs_holds_up_a_part_of_the_requests_only(tmp_path: Path) -> None:
    worker = Worker(tmp_path, max_in_flight=8, publish_timeout_ms=100, read_your_writes_timeout_ms=100)
    waiting = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await waiting.wait()
        return web.Response(text="late")

    async with worker.client("hung") as client, _answering(worker, handler):
        calls = [client.get("/api/v1/customers/ann", headers=HEADERS) for _ in range(6)]
        answers = await asyncio.gather(*calls)
        codes = sorted([(await answer.json())["code"] for answer in answers])
        assert codes == ["NOT_READY"] * 4 + ["OVERLOADED"] * 2
        waiting.set()


async def test_the_topology_says_who_owns_what(other: Worker, asked: Client) -> None:
    unknown = await asked.get("/api/v1/topology", headers=HEADERS)
    assert (unknown.status, (await unknown.json())["code"]) == (503, "NOT_READY")
    other.owners = {0: "http://a:1", 2: "http://b:2"}
    response = await asked.get("/api/v1/topology", headers=HEADERS)
    assert await response.json() == {
        "partitions": [
            {"partition": 0, "url": "http://a:1"},
            {"partition": 1, "url": None},
            {"partition": 2, "url": "http://b:2"},
            {"partition": 3, "url": None},
        ],
        "key": "{tenantId}:{customerId}",
        "partitioner": "murmur2",
    }


async def test_nothing_is_sent_twice_when_a_kept_connection_breaks(other: Worker, asked: Client) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        assert request.transport is not None
        if len(seen) > 1:
            request.transport.abort()
        return web.Response(text="ok")

    async with _answering(other, handler):
        first = await asked.put("/api/v1/customers/ann", json={}, headers=HEADERS)
        second = await asked.put("/api/v1/customers/ann", json={}, headers=HEADERS)
        assert (first.status, second.status, (await second.json())["code"]) == (200, 503, "PENDING")
        assert seen == ["PUT", "PUT"]


async def test_several_owners_that_hang_leave_room_for_what_is_here(
    owner: tuple[Worker, Client],
) -> None:
    worker, client = owner
    worker.know("ann")
    here = worker.partition_for("ann").number
    for number in range(PARTITIONS):
        if number != here:
            worker.partitions.release(number, "moved")
    limit = worker.settings.max_in_flight
    waiting = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await waiting.wait()
        return web.Response(text="late")

    async with _answering(worker, handler):
        first = worker.owners[0]
        async with _answering(worker, handler):
            worker.owners = {n: first if n % 2 else worker.owners[0] for n in range(PARTITIONS)}
            names = [f"N{n}" for n in range(4 * limit)]
            elsewhere = [name for name in names if worker.number_for(name) != here][: 2 * limit]
            calls = [asyncio.create_task(_status(client, f"/api/v1/customers/{name}")) for name in elsewhere]
            await asyncio.sleep(1.0)
            assert await _status(client, "/api/v1/customers/ann") == 200
            waiting.set()
            assert {await call for call in calls} == {200, 503}


async def _status(client: Client, path: str) -> int:
    async with client.get(path, headers=HEADERS) as response:
        return response.status


async def test_another_applications_worker_records_nothing(asked: Client) -> None:
    headers = {**HEADERS, "X-Offertide-Forwarded-By": "elsewhere http://127.0.0.1:1"}
    response = await asked.post("/api/v1/respond", json=RESPONSE, headers=headers)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
    assert "another application" in (await response.json())["error"]


async def test_a_closed_forwarder_sends_nothing(other: Worker, asked: Client) -> None:
    other.owners = dict.fromkeys(range(PARTITIONS), "http://127.0.0.1:1")
    forwarder = Forwarder(other.settings, lambda: other.owners, other.metrics)
    await forwarder.close()
    request = make_mocked_request("GET", "/api/v1/customers/ann")
    with pytest.raises(ApiError) as refused:
        await forwarder.forward(request, b"", "r", 0, Caller("shop", Role.VIEWER, frozenset(), "test"))
    assert refused.value.code == "NOT_READY"


async def test_an_answer_that_is_too_large_is_not_read_on(
    other: Worker, asked: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.outbound.ANSWER_LIMIT_BYTES", 10_000)

    async def larger(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if request.query:
            response.content_length = 10_001
        await response.prepare(request)
        await response.write(b"x" * 10_001)
        return response

    async def fitting(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 10_000)

    for method, code in (("GET", "NOT_READY"), ("PUT", "PENDING")):
        for query in ("", "?announced=1"):
            async with _answering(other, larger):
                body: dict[str, str] | None = {} if method == "PUT" else None
                path = f"/api/v1/customers/ann{query}"
                response = await asked.request(method, path, json=body, headers=HEADERS)
                assert (response.status, (await response.json())["code"]) == (503, code)
    async with _answering(other, fitting):
        response = await asked.get("/api/v1/customers/ann", headers=HEADERS)
        assert len(await response.read()) == 10_000


@pytest.mark.parametrize(
    ("url", "sound"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://worker-1.example", True),
        ("http://[::1]:8080", True),
        ("http://me:secret@127.0.0.1:8080", False),
        ("http://me@127.0.0.1:8080", False),
        ("ftp://127.0.0.1:8080", False),
        ("file:///etc/passwd", False),
        ("//127.0.0.1:8080", False),
        ("http://127.0.0.1:8080/path", False),
        ("http://127.0.0.1:8080?x", False),
        ("http://127.0.0.1:99999", False),
        ("http://127.0.0.1:0", False),
        ("http://127.0.0.1:8080\r\nX: y", False),
        ("http://", False),
        ("", False),
    ],
)
def test_who_is_asked_is_a_host_and_a_port_and_nothing_more(url: str, sound: bool) -> None:
    assert is_worker_url(url) is sound


async def test_an_owner_with_a_strange_address_is_not_asked(other: Worker, asked: Client) -> None:
    async def never(request: web.Request) -> web.Response:
        raise AssertionError("was asked")

    async with _answering(other, never):
        other.owners = {n: url.replace("//", "//me:secret@") for n, url in other.owners.items()}
        response = await asked.post("/api/v1/respond", json=RESPONSE, headers=HEADERS)
        text = await response.text()
        assert (response.status, "NOT_READY" in text, "secret" in text) == (503, True, False)


async def test_no_proxy_is_taken_from_the_environment(
    asked: Client, owner: tuple[Worker, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, _ = owner
    worker.know("ann")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await asked.get("/api/v1/customers/ann", headers=HEADERS)).status == 200
