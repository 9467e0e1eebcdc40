"""/api-keys: what admins do with keys, and that no key shows twice."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.decision.catalogue import CatalogSnapshot
from app.decision.entities import ApiKey
from tables.api_keys import issue_key
from tables.audit_actor import SANDBOX
from tables.catalogue_edit import Draft, plan_create
from tests.web.harness import TENANT, Client, Worker, running
from tests.web.keyed import KEYED, new_key

PATH = "/api/v1/api-keys"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with running(tmp_path / "keyed", **KEYED) as one:
        one.catalogue = CatalogSnapshot()
        yield one


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with worker.client("keyed") as one:
        yield one


async def commit_key(worker: Worker, key: ApiKey, tenant: str = TENANT) -> None:
    """Put a key into the catalogue by way of the desk, as the command line does."""
    draft = Draft(kind="api-keys", entity=key, by="cli")
    await worker.engine.desk.commit(
        tenant, lambda current, now: plan_create(tenant, current, draft, key.id, now), SANDBOX
    )


@pytest.fixture
async def admin(worker: Worker) -> dict[str, str]:
    """Headers of an admin."""
    key, text = new_key("admin", "root")
    await commit_key(worker, key)
    return {"X-API-Key": text}


async def call(
    client: Client, method: str, path: str, headers: dict[str, str], body: Any = None
) -> tuple[int, Any]:
    """Status and body."""
    response = await client.request(method, path, headers=headers, json=body)
    text = await response.text()
    return response.status, json.loads(text) if text else None


async def test_an_issued_key_opens_and_shows_once(client: Client, admin: dict[str, str]) -> None:
    status, made = await call(client, "POST", PATH, admin, {"name": "shop", "role": "viewer"})
    assert (status, made["role"], made["version"], made["createdBy"]) == (201, "viewer", 1, "key:root")
    text = made["apiKey"]
    assert text.startswith(made["prefixes"][0]["prefix"])
    status, own = await call(client, "GET", "/api/v1/customers/nobody", {"X-API-Key": text})
    assert (status, own["code"]) == (404, "NOT_FOUND")
    for path in (PATH, f"{PATH}/{made['id']}"):
        response = await client.get(path, headers=admin)
        shown = await response.text()
        assert response.status == 200
        assert text not in shown
        assert "digest" not in shown
    status, listed = await call(client, "GET", PATH, admin)
    assert (listed["total"], {one["id"] for one in listed["apiKeys"]}) == (2, {"root", made["id"]})


async def test_the_last_use_is_shown(client: Client, admin: dict[str, str]) -> None:
    _, made = await call(client, "POST", PATH, admin, {"name": "shop", "role": "viewer"})
    assert made["lastUsedAt"] is None
    await call(client, "GET", "/api/v1/customers/nobody", {"X-API-Key": made["apiKey"]})
    _, shown = await call(client, "GET", f"{PATH}/{made['id']}", admin)
    assert shown["lastUsedAt"] == "2027-01-15T08:00:00.000Z"


async def test_rotating_gives_a_new_key_and_keeps_the_old_a_while(
    worker: Worker, client: Client, admin: dict[str, str]
) -> None:
    # The desk's clock is the real one.
    worker.now_ms = time.time_ns() // 1_000_000
    _, made = await call(client, "POST", PATH, admin, {"name": "shop", "role": "viewer"})
    one = f"{PATH}/{made['id']}"
    status, turned = await call(client, "POST", f"{one}/rotate", admin, {"overlapMs": 86_400_000})
    assert (status, turned["id"], turned["version"], len(turned["prefixes"])) == (200, made["id"], 2, 2)
    for text in (made["apiKey"], turned["apiKey"]):
        assert (await call(client, "GET", "/api/v1/customers/x", {"X-API-Key": text}))[0] == 404
    status, last = await call(client, "POST", f"{one}/rotate", admin, {"overlapMs": 0})
    assert [one["until"] for one in last["prefixes"]] == [None]
    for text, wanted in ((made["apiKey"], 401), (turned["apiKey"], 401), (last["apiKey"], 404)):
        assert (await call(client, "GET", "/api/v1/customers/x", {"X-API-Key": text}))[0] == wanted


async def test_changing_a_key_keeps_what_opens(client: Client, admin: dict[str, str]) -> None:
    _, made = await call(client, "POST", PATH, admin, {"name": "shop", "role": "viewer"})
    headers = {"X-API-Key": made["apiKey"]}
    one = f"{PATH}/{made['id']}"
    event = {"type": "purchase", "customerId": "x", "timestamp": "x"}
    assert (await call(client, "POST", "/api/v1/events/ingest", headers, event))[0] == 403
    status, changed = await call(client, "PUT", one, admin, {"name": "shop", "role": "editor", "version": 1})
    assert (status, changed["role"]) == (200, "editor")
    assert (await call(client, "POST", "/api/v1/events/ingest", headers, event))[0] == 400
    stale, body = await call(client, "PUT", one, admin, {"name": "shop", "role": "admin", "version": 1})
    assert (stale, body["code"]) == (409, "CONFLICT")


@pytest.mark.parametrize("ending", ["delete", "archive"])
async def test_an_ended_key_opens_nothing(client: Client, admin: dict[str, str], ending: str) -> None:
    _, made = await call(client, "POST", PATH, admin, {"name": "shop", "role": "viewer"})
    one = f"{PATH}/{made['id']}"
    if ending == "delete":
        assert await call(client, "DELETE", one, admin) == (204, None)
        assert (await call(client, "GET", one, admin))[0] == 404
    else:
        body = {"name": "shop", "role": "viewer", "status": "archived"}
        assert (await call(client, "PUT", one, admin, body))[0] == 200
        assert (await call(client, "POST", f"{one}/rotate", admin, {}))[0] == 409
    status, _ = await call(client, "GET", "/api/v1/customers/x", {"X-API-Key": made["apiKey"]})
    assert status == 401


async def test_a_narrowed_admin_cannot_widen_itself(worker: Worker, client: Client) -> None:
    key, text = new_key("admin", "narrow", scopes=["catalogue"])
    await commit_key(worker, key)
    headers = {"X-API-Key": text}
    for method, path in (
        ("GET", PATH),
        ("POST", PATH),
        ("PUT", f"{PATH}/narrow"),
        ("POST", f"{PATH}/narrow/rotate"),
    ):
        status, body = await call(client, method, path, headers, {"name": "x", "role": "admin"})
        assert (status, body["code"]) == (403, "FORBIDDEN"), (method, path)


async def test_keys_of_another_tenant_are_not_there(
    worker: Worker, client: Client, admin: dict[str, str]
) -> None:
    key, _ = new_key("admin", "theirs")
    await commit_key(worker, key, "other")
    assert (await call(client, "GET", f"{PATH}/theirs", admin))[0] == 404
    assert (await call(client, "DELETE", f"{PATH}/theirs", admin))[0] == 404
    assert (await call(client, "GET", PATH, admin))[1]["total"] == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name", "role"}),
        ({"name": "", "role": "owner"}, {"name", "role"}),
        ({"name": "x", "role": "admin", "scopes": ["all"], "expiresAt": "soon"}, {"scopes[0]", "expiresAt"}),
        (
            {"name": "x", "role": "admin", "credentials": [{"lookup": "a" * 12, "digest": "0" * 64}]},
            {"credentials"},
        ),
        ({"name": "x", "role": "admin", "secret": "mine"}, {"secret"}),
    ],
)
async def test_what_is_wrong_is_named(
    client: Client, admin: dict[str, str], body: dict[str, Any], fields: set[str]
) -> None:
    status, answer = await call(client, "POST", PATH, admin, body)
    assert (status, {one["field"] for one in answer["details"]}) == (400, fields)


@pytest.mark.parametrize("overlap", [-1, 30 * 86_400_000 + 1, "day", 1.5])
async def test_a_wrong_overlap_is_400(client: Client, admin: dict[str, str], overlap: Any) -> None:
    status, answer = await call(client, "POST", f"{PATH}/root/rotate", admin, {"overlapMs": overlap})
    assert (status, [one["field"] for one in answer["details"]]) == (400, ["overlapMs"])


async def test_without_a_pepper_no_key_is_issued(tmp_path: Path) -> None:
    with running(tmp_path / "sandbox") as one:
        async with one.client("sandbox") as client:
            headers = {"X-Tenant-Id": TENANT}
            status, body = await call(client, "POST", PATH, headers, {"name": "x", "role": "admin"})
    assert (status, "API_KEY_PEPPER" in body["error"]) == (409, True)


async def test_a_key_that_would_have_ended_already_is_400(
    worker: Worker, client: Client, admin: dict[str, str]
) -> None:
    _, made = await call(client, "POST", PATH, admin, {"name": "shop", "role": "viewer"})
    now = datetime.fromtimestamp(worker.now_ms / 1000, UTC)
    for method, path in (("POST", PATH), ("PUT", f"{PATH}/{made['id']}")):
        said = {"name": "shop", "role": "viewer", "expiresAt": now.isoformat()}
        status, answer = await call(client, method, path, admin, said)
        assert (status, answer["details"][0]["field"]) == (400, "expiresAt")
        said["expiresAt"] = (now + timedelta(seconds=1)).isoformat()
        assert (await call(client, method, path, admin, said))[0] in (200, 201)


async def test_a_key_under_another_pepper_is_shown_as_such(
    worker: Worker, client: Client, admin: dict[str, str]
) -> None:
    key, _ = new_key("viewer", "foreign")
    other = issue_key("another pepper, of many characters").credential
    before = msgspec.structs.replace(other, pepper=None)
    await commit_key(worker, msgspec.structs.replace(key, credentials=(before, other)))
    shown = [(await call(client, "GET", f"{PATH}/{name}", admin))[1] for name in ("foreign", "root")]
    assert [[one["pepper"] for one in body["prefixes"]] for body in shown] == [[None, "other"], [None]]
