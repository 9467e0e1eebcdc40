"""GET /audit."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tables.audit_actor import Actor
from tables.audit_index import AuditFilter, AuditIndex
from tables.audit_pages import AuditPages
from tables.audit_records import ChainHead
from tests.catalogue.desks import ANNA, delete, put
from tests.web.harness import HEADERS, TENANT, Client, Worker

PATH = "/api/v1/audit"


async def listed(client: Client, **query: str | int) -> dict[str, Any]:
    """The answer's body."""
    response = await client.get(PATH, headers=HEADERS, params=query)
    assert response.status == 200, await response.text()
    body: dict[str, Any] = await response.json()
    return body


async def fill(worker: Worker) -> None:
    """Six entries by two actors."""
    for n in range(3):
        await worker.desk.commit(TENANT, put("jazz", f"Jazz {n}"), ANNA, request_id=f"r{n}", reason="why")
    await worker.desk.commit(TENANT, put("rock", "Rock"), Actor("cli:max", "max"))
    await worker.desk.record_fact(TENANT, ANNA, "customer.erased", "ab12")
    await worker.desk.commit(TENANT, delete("jazz"), ANNA)


async def test_an_entry_says_who_when_before_and_after(worker: Worker, client: Client) -> None:
    await fill(worker)
    entry = (await listed(client, offset=4))["audit"][0]
    assert entry.pop("at").endswith("Z")
    assert len(entry.pop("hash")) == len(entry.pop("previous")) == 64
    assert len(entry.pop("importId")) == 32
    assert entry == {
        "v": 1,
        "tenant": TENANT,
        "sequence": 2,
        "actor": {"id": "key_1", "name": "Anna"},
        "action": "updated",
        "kind": "categories",
        "id": "jazz",
        "versionBefore": 1,
        "versionAfter": 2,
        "before": {"id": "jazz", "name": "Jazz 0"},
        "after": {"id": "jazz", "name": "Jazz 1"},
        "reason": "why",
        "requestId": "r1",
    }


async def test_entries_are_listed_newest_first_by_page(worker: Worker, client: Client) -> None:
    await fill(worker)
    assert await sequences(client) == ([6, 5, 4, 3, 2, 1], 6)
    assert await sequences(client, limit=2, offset=1) == ([5, 4], 6)
    assert await sequences(client, offset=5) == ([1], 6)
    assert await sequences(client, offset=6) == ([], 6)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"kind": "categories"}, [6, 4, 3, 2, 1]),
        ({"id": "jazz"}, [6, 3, 2, 1]),
        ({"action": "created"}, [4, 1]),
        ({"action": "customer.erased"}, [5]),
        ({"actor": "cli:max"}, [4]),
        ({"actor": "key_1", "action": "deleted", "id": "jazz", "kind": "categories"}, [6]),
        ({"kind": "offers"}, []),
        ({"since": "2026-01-01T00:00:00Z"}, [6, 5, 4, 3, 2, 1]),
        ({"since": "9999-01-01T00:00:00Z"}, []),
        ({"until": "2026-01-01T00:00:00+02:00"}, []),
    ],
)
async def test_filters_narrow_the_list(
    worker: Worker, client: Client, query: dict[str, str], found: list[int]
) -> None:
    await fill(worker)
    assert await sequences(client, **query) == (found, len(found))


async def sequences(client: Client, **query: str | int) -> tuple[list[int], int]:
    body = await listed(client, **query)
    return [entry["sequence"] for entry in body["audit"]], body["total"]


async def test_every_bad_parameter_is_named(client: Client) -> None:
    bad = {"limit": "0", "kind": "x" * 257, "since": "2026-01-01T00:00:00", "until": "soon"}
    response = await client.get(PATH, headers=HEADERS, params=bad)
    assert response.status == 400
    assert {one["field"] for one in (await response.json())["details"]} == set(bad)
    span = {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    assert (await client.get(PATH, headers=HEADERS, params=span)).status == 400


async def test_anybody_can_check_the_chain_of_what_is_answered(worker: Worker, client: Client) -> None:
    await fill(worker)
    body = await listed(client)
    previous = "0" * 64
    for entry in reversed(body["audit"]):
        claimed = entry.pop("hash")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        assert entry["previous"] == previous
        assert hashlib.sha256(text.encode()).hexdigest() == claimed
        previous = claimed
    chain = {"verified": True, "sequence": 6, "hash": previous, "problem": None, "forgotten": 0}
    assert body["chain"] == chain


async def test_a_trail_is_its_tenants_own(worker: Worker, client: Client) -> None:
    await fill(worker)
    response = await client.get(PATH, headers={"X-Tenant-Id": "rival"})
    body = await response.json()
    assert (body["audit"], body["total"], body["chain"]["sequence"]) == ([], 0, 0)


async def test_a_chain_that_does_not_hold_is_said(worker: Worker, client: Client) -> None:
    await fill(worker)
    worker.desk.tamper(3, b'"Jazz 2"', b'"Jazz 9"')
    chain = (await listed(client))["chain"]
    assert (chain["verified"], chain["problem"]) == (False, "entry 3 was changed: its hash is another")


async def test_entries_that_the_catalogue_tells_of_and_that_are_not_there_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tables.audit_pages._WAIT_S", 0.1)
    index = AuditIndex()
    index.read = True

    async def read(offsets: object) -> list[bytes]:
        return []

    pages = AuditPages(index, lambda tenant_id: ChainHead(3, "ab" * 32), read)
    page = await pages.page("demo", AuditFilter(), 50, 0)
    assert page.chain.problem == "the entries after 0 are missing, up to 3"


async def test_a_trail_that_is_not_read_yet_is_no_empty_one(
    worker: Worker, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tables.audit_pages._WAIT_S", 0.1)
    worker.desk.index.read = False
    response = await client.get(PATH, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
