"""POST /customers/bulk as far as it goes without Kafka."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.harness import HEADERS, Client, Worker
from tests.worker.harness import eventually
from web.bulk import AT_ONCE_MAX, LINES_MAX
from web.bulk_line import DETAILS_MAX, LINE_MAX_BYTES, check_line

BULK = "/api/v1/customers/bulk"
LINES = {**HEADERS, "Content-Type": "application/x-ndjson"}


async def post(client: Client, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    response = await client.post(BULK, data=body, headers={**LINES, **headers})
    return response.status, await response.json()


def line(text: str | bytes) -> tuple[str | None, list[tuple[str, str]]]:
    """Whom a line names, and what is wrong with it."""
    checked = check_line(text if isinstance(text, bytes) else text.encode(), "shop")
    assert (checked.record is None) is bool(checked.problems)
    return checked.customer_id, [(one.field, one.message) for one in checked.problems]


def test_a_good_line_is_a_record() -> None:
    body = {"customerId": "ann", "attributes": {"a": 1}, "tags": ["vip"], "replace": True, "other": 1}
    checked = check_line(json.dumps(body).encode(), "shop")
    assert checked.record is not None
    assert (checked.record.tenant_id, checked.record.customer_id) == ("shop", "ann")
    assert (checked.record.attributes, checked.record.tags, checked.record.replace) == (
        {"a": 1},
        ["vip"],
        True,
    )


@pytest.mark.parametrize(
    ("text", "customer_id", "fields"),
    [
        ("{", None, [""]),
        ("[]", None, [""]),
        ('"ann"', None, [""]),
        (b'{"customerId": "\xff"}', None, [""]),
        ('{"customerId": "ann", "customerId": "bob"}', None, [""]),
        ("{}", None, ["customerId"]),
        ('{"customerId": 7}', None, ["customerId"]),
        ('{"customerId": ""}', "", ["customerId"]),
        ('{"customerId": "' + "x" * 257 + '"}', "x" * 256, ["customerId"]),
        (
            '{"customerId": "ann", "tags": "vip", "consent": {"mail": "maybe"}}',
            "ann",
            ["tags", "consent.mail"],
        ),
        ('{"customerId": "ann", "attributes": {"a": {}}}', "ann", ["attributes.a"]),
        ('{"customerId": "ann", "attributes": {"a": 9223372036854775808}}', "ann", ["attributes.a"]),
        ('{"customerId": "ann", "replace": "yes"}', "ann", ["replace"]),
        ('{"customerId": "ann", "locale": null}\n{"customerId": "bob"}', None, [""]),
    ],
)
def test_bad_lines_say_all_that_is_wrong(
    text: str | bytes, customer_id: str | None, fields: list[str]
) -> None:
    named, problems = line(text)
    assert (named, [field for field, _ in problems]) == (customer_id, fields)


def test_a_line_tells_few_of_many_problems() -> None:
    consent = {f"c{n}": "maybe" for n in range(100)}
    _, problems = line(json.dumps({"customerId": "ann", "consent": consent}))
    assert len(problems) == DETAILS_MAX
    assert problems[-1] == ("", f"and {101 - DETAILS_MAX} more problems")


async def test_without_kafka_nothing_is_taken(client: Client) -> None:
    status, body = await post(client, b'{"customerId": "ann"}\n{\n{"customerId": "bob"}')
    assert (status, body["code"]) == (503, "NOT_READY")
    assert [(one["line"], one["status"]) for one in body["results"]] == [
        (1, "retry"),
        (2, "rejected"),
        (3, "retry"),
    ]
    assert (body["accepted"], body["rejected"], body["retry"]) == (0, 1, 2)


async def test_bad_lines_alone_are_202(client: Client) -> None:
    status, body = await post(client, b"{\n\n" + b"x" * (LINE_MAX_BYTES + 1))
    assert (status, body["accepted"], body["rejected"]) == (202, 0, 2)
    assert [one["line"] for one in body["results"]] == [1, 3]
    assert body["results"][1] == {
        "line": 3,
        "customerId": None,
        "status": "rejected",
        "details": [{"field": "", "message": f"is longer than {LINE_MAX_BYTES} bytes"}],
    }
    assert "error" not in body


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "text/csv", "application/x-ndjson; charset=latin-1"]
)
async def test_another_type_is_415(client: Client, kind: str) -> None:
    response = await client.post(BULK, data=b"{}", headers={**HEADERS, "Content-Type": kind})
    assert (response.status, (await response.json())["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("body", [b"", b"\n \r\n"])
async def test_an_empty_body_is_400(client: Client, body: bytes) -> None:
    status, answer = await post(client, body)
    assert (status, answer["code"]) == (400, "VALIDATION_ERROR")


async def test_an_announced_body_that_is_too_large_is_413_unread(client: Client, worker: Worker) -> None:
    limit = worker.settings.bulk_limit_bytes
    status, body = await post(client, b"\n" * (limit + 1))
    assert (status, body["code"], "results" in body) == (413, "PAYLOAD_TOO_LARGE", False)


async def test_lines_past_the_most_are_413_and_those_before_are_told(client: Client) -> None:
    status, body = await post(client, b"{\n" * (LINES_MAX + 1))
    assert (status, body["code"], body["rejected"]) == (413, "PAYLOAD_TOO_LARGE", LINES_MAX)
    assert body["error"].endswith(f"Lines up to {LINES_MAX} were read: see results.")
    assert len(body["results"][999]["details"][0]["message"]) > 0
    assert "left out" in body["results"][1_000]["details"][0]["message"]


async def test_a_body_that_breaks_off_says_up_to_where_it_counts(client: Client) -> None:
    async def broken() -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        yield packer.compress(b"{\n{\n") + packer.flush(zlib.Z_SYNC_FLUSH)
        yield b"\xff" * 100

    status, body = await post(client, broken(), **{"Content-Encoding": "gzip"})
    assert (status, body["code"]) == (400, "VALIDATION_ERROR")
    read = body["rejected"]
    assert read in (0, 2), "all of a piece of the body, or nothing"
    assert body["error"].endswith(
        f"Lines up to {read} were read: see results." if read else "No line was read."
    )


async def test_a_fifth_body_at_once_and_a_tenants_fourth_are_overloaded(
    client: Client, worker: Worker
) -> None:
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{\n"
        await go.wait()

    async def are_read(bodies: int) -> None:
        async def read() -> bool:
            return bool(worker.metrics.bulk_bodies._value.get() == bodies)

        await eventually(read, 10, f"{bodies} bodies are being read")

    posts = [asyncio.create_task(post(client, slow())) for _ in range(AT_ONCE_MAX - 1)]
    await are_read(AT_ONCE_MAX - 1)
    status, body = await post(client, b"{")
    assert (status, body["code"]) == (503, "OVERLOADED")
    other = {"X-Tenant-Id": "other"}
    posts.append(asyncio.create_task(post(client, slow(), **other)))
    await are_read(AT_ONCE_MAX)
    status, body = await post(client, b"{", **other)
    assert (status, body["code"]) == (503, "OVERLOADED")
    go.set()
    assert [status for status, _ in await asyncio.gather(*posts)] == [202] * AT_ONCE_MAX
    assert (await post(client, b"{"))[0] == 202
    assert worker.metrics.bulk_lines_total.labels("rejected")._value.get() == AT_ONCE_MAX + 1


async def test_a_customer_may_be_called_bulk(client: Client, worker: Worker) -> None:
    worker.know("bulk")
    response = await client.get(BULK, headers=HEADERS)
    assert (response.status, (await response.json())["customerId"]) == (200, "bulk")
    assert (await client.put(BULK, json={"tags": 7}, headers=HEADERS)).status == 400
