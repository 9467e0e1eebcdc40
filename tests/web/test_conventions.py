"""What holds for every path: errors, request ids, tenants, methods, bodies, overload."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.decision.tiers import Rate
from tests.web.harness import HEADERS, Client, Worker, running

INGEST = "/api/v1/events/ingest"


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/nothing", "/table", "/table/customers", "/router", "/graph", "/stats"]
)
async def test_an_unknown_path_is_json_404(client: Client, path: str) -> None:
    for method in ("GET", "POST"):
        response = await client.request(method, path, headers=HEADERS)
        assert (response.status, response.content_type) == (404, "application/json")
        body = await response.json()
        assert body["code"] == "NOT_FOUND"
        assert body["requestId"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", INGEST, "POST"),
        ("DELETE", INGEST, "POST"),
        ("PURGE", INGEST, "POST"),
        ("POST", "/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_405_with_allow(client: Client, method: str, path: str, allow: str) -> None:
    response = await client.request(method, path, headers=HEADERS)
    assert response.status == 405
    assert response.headers["Allow"] == allow
    assert (await response.json())["code"] == "METHOD_NOT_ALLOWED"


async def test_a_sane_request_id_comes_back_and_another_does_not(client: Client) -> None:
    for given, kept in (
        ("my-id:7", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("<x>", False),
    ):
        response = await client.get("/health", headers={"X-Request-Id": given})
        assert (response.headers["X-Request-Id"] == given) is kept
        assert response.headers["X-Request-Id"]


async def test_no_tenant_is_401_and_a_malformed_one_400(client: Client) -> None:
    response = await client.post(INGEST, json={})
    assert (response.status, (await response.json())["code"]) == (401, "UNAUTHORIZED")
    for bad in ("Shop", "a:b", "x" * 65, "é"):
        response = await client.post(INGEST, json={}, headers={"X-Tenant-Id": bad})
        body = await response.json()
        assert (response.status, body["details"][0]["field"]) == (400, "X-Tenant-Id")
    twice = [("X-Tenant-Id", "a"), ("X-Tenant-Id", "b")]
    assert (await client.post(INGEST, json={}, headers=twice)).status == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "text/json+x",
        ";",
    ],
)
async def test_a_body_that_is_not_json_is_415(client: Client, content_type: str) -> None:
    headers = {**HEADERS, "Content-Type": content_type}
    response = await client.post(INGEST, data=b"{}", headers=headers)
    assert (response.status, (await response.json())["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=UTF-8", "application/vnd.x+json"]
)
async def test_json_under_its_names_is_read(client: Client, content_type: str) -> None:
    headers = {**HEADERS, "Content-Type": content_type}
    assert (await client.post(INGEST, data=b"{}", headers=headers)).status == 400


async def test_a_body_over_the_limit_is_413_announced_or_not(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_024

    with running(tmp_path, body_limit_bytes=2_048) as worker:
        async with worker.client() as client:
            headers = {**HEADERS, "Content-Type": "application/json"}
            for data in (b" " * 2_049, chunks()):
                response = await client.post(INGEST, data=data, headers=headers)
                assert (response.status, (await response.json())["code"]) == (413, "PAYLOAD_TOO_LARGE")
            fits = await client.post(INGEST, data=b"{}" + b" " * 2_046, headers=headers)
            assert fits.status == 400


async def test_a_compressed_body_counts_unpacked(client: Client) -> None:
    headers = {**HEADERS, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    response = await client.post(INGEST, data=bomb, headers=headers)
    assert response.status == 413
    broken = await client.post(INGEST, data=b"not gzip", headers=headers)
    assert (broken.status, broken.content_type) == (400, "application/json")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "is empty"),
        (b"  ", "is empty"),
        (b"null", "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b"1", "must be a JSON object"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b'{"data": NaN}', "not valid JSON"),
        (b'{"data": {"x": 1e999}}', "out of range"),
        (b'{"data": {"x": ' + b"9" * 5_000 + b"}}", "out of range"),
        (b'{"customerId": "\xff"}', "not valid UTF-8"),
        (b'{"customerId": "\\ud800"}', "not valid JSON"),
        (b'{"customerId": "\xed\xa0\x80"}', "not valid UTF-8"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"customerId": "a", "customerId": "b"}', "'customerId' twice"),
        (b'{"data": {"x": {"y": 1, "y": 2}}}', "'y' twice"),
        (b'{"data": ' + b'{"x": ' * 80 + b"1" + b"}" * 81, "nested deeper than 64 levels"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"x": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested deeper than 64 levels"),
    ],
)
async def test_what_is_not_a_sound_json_object_is_400_with_a_reason(
    client: Client, body: bytes, told: str
) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    response = await client.post(INGEST, data=body, headers=headers)
    assert response.status == 400
    answer = await response.json()
    assert answer["code"] == "VALIDATION_ERROR"
    assert answer["details"]
    assert told in answer["error"]


async def test_past_the_bound_requests_are_refused_and_operations_answered(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def wait(*_: object) -> None:
        await go.wait()

    with running(tmp_path, max_in_flight=1) as worker:
        async with worker.client() as client:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(worker.limits, "admit", wait)
                patch.setattr("web.view.rate_of", lambda *_: Rate("calls", 1))
                first = asyncio.create_task(client.post(INGEST, json={}, headers=HEADERS))
                while worker.metrics.http_in_flight._value.get() < 2:
                    assert (await client.get("/metrics")).status == 200
            refused = await client.post(INGEST, json={}, headers=HEADERS)
            assert (refused.status, (await refused.json())["code"]) == (503, "OVERLOADED")
            assert refused.headers["Retry-After"] == "1"
            assert worker.metrics.http_overloaded_total._value.get() == 1
            assert (await client.get("/health")).status == 200
            go.set()
            assert (await first).status == 400
            assert (await client.post(INGEST, json={}, headers=HEADERS)).status == 400


async def test_a_partition_that_is_not_here_or_not_ready_is_503(worker: Worker, client: Client) -> None:
    partition = worker.partition_for("ann")
    worker.partitions.release(partition.number, "moved")
    click = {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click"}
    response = await client.post("/api/v1/respond", json=click, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
    assert response.headers["Retry-After"] == "1"


async def test_what_breaks_inside_is_500_and_says_nothing_of_the_cause(
    worker: Worker, client: Client
) -> None:
    class BrokenError(Exception):
        pass

    def broken() -> bool:
        raise BrokenError("a secret")

    object.__setattr__(worker.engine, "catalogue_ready", broken)
    response = await client.post(INGEST, json={"type": "purchase", "customerId": "ann"}, headers=HEADERS)
    assert (response.status, response.content_type) == (500, "application/json")
    text = await response.text()
    assert "INTERNAL_ERROR" in text
    assert "secret" not in text
    assert "Broken" not in text
