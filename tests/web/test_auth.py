"""Who calls: keys that hold and keys that do not, and one worker's word for another."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from yarl import URL

from app.child import free_ports
from config.settings import SettingsError
from tables.api_key_changes import revoked, rotated
from tables.api_keys import issue_key, key_digest, public_part
from tests.web.harness import NOW_MS, PARTITIONS, TENANT, Client, Worker, running
from tests.web.keyed import KEYED, PEPPER, give_key, new_key, put_key
from web.access import Caller, Role
from web.forwarding import FORWARDED_BY
from web.vouching import FRESH_MS, VOUCHED, Voucher

PATH = "/api/v1/customers/ann"
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with running(tmp_path / "keyed", **KEYED) as one:
        one.know("ann")
        yield one


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with worker.client("keyed") as one:
        yield one


async def asked(client: Client, headers: dict[str, str], path: str = PATH) -> tuple[int, str]:
    """Status, and the error's code or nothing."""
    response = await client.get(path, headers=headers)
    return response.status, (await response.json()).get("code", "")


async def test_a_key_is_taken_from_either_header(worker: Worker, client: Client) -> None:
    key = give_key(worker, "viewer")["X-API-Key"]
    assert await asked(client, {"X-API-Key": key}) == (200, "")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert await asked(client, {"Authorization": f"{scheme} {key}"}) == (200, "")
    both = {
        "X-API-Key": key,
        "Authorization": f"Bearer {key}",
        "X-Tenant-Id": TENANT,
        "X-Requested-With": "x",
    }
    assert await asked(client, both) == (200, "")


async def test_two_different_keys_are_none(worker: Worker, client: Client) -> None:
    one, two = (give_key(worker, "viewer", key_id=name)["X-API-Key"] for name in ("a", "b"))
    assert await asked(client, {"X-API-Key": one, "Authorization": f"Bearer {two}"}) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "wrong",
    ["", "otk_", "otk_abcdefghijkl_" + "x" * 43, "Basic YTpi", "\xff\xfe", "otk_" + "é" * 60, "k" * 4_000],
)
async def test_what_is_no_key_that_holds_is_401(worker: Worker, client: Client, wrong: str) -> None:
    give_key(worker, "viewer")
    assert await asked(client, {"X-API-Key": wrong}) == (401, "UNAUTHORIZED")
    assert await asked(client, {"Authorization": f"Bearer {wrong}"}) == (401, "UNAUTHORIZED")
    assert await asked(client, {"Authorization": wrong, "X-Tenant-Id": TENANT}) == (401, "UNAUTHORIZED")


async def test_a_known_public_part_opens_nothing(worker: Worker, client: Client) -> None:
    key = give_key(worker, "viewer")["X-API-Key"]
    altered = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert public_part(altered) == public_part(key)
    assert await asked(client, {"X-API-Key": altered}) == (401, "UNAUTHORIZED")


async def test_the_tenant_header_alone_is_no_key(client: Client) -> None:
    assert await asked(client, {"X-Tenant-Id": TENANT}) == (401, "UNAUTHORIZED")


async def test_another_tenant_beside_a_key_is_403(worker: Worker, client: Client) -> None:
    headers = give_key(worker, "admin")
    assert await asked(client, {**headers, "X-Tenant-Id": "other"}) == (403, "FORBIDDEN")


async def test_a_key_sees_its_own_tenant_only(worker: Worker, client: Client) -> None:
    assert await asked(client, give_key(worker, "admin", "other")) == (404, "NOT_FOUND")


async def test_a_key_ends_when_it_says(worker: Worker, client: Client) -> None:
    headers = give_key(worker, "viewer", expiresAt=(NOW + timedelta(seconds=1)).isoformat())
    assert await asked(client, headers) == (200, "")
    worker.now_ms += 1_000
    assert await asked(client, headers) == (401, "UNAUTHORIZED")


async def test_a_rotated_key_goes_on_for_the_overlap(worker: Worker, client: Client) -> None:
    key, old = new_key("viewer")
    issued = issue_key(PEPPER)
    put_key(worker, rotated(key, issued.credential, NOW, overlap_ms=60_000))
    assert await asked(client, {"X-API-Key": old}) == (200, "")
    assert await asked(client, {"X-API-Key": issued.text}) == (200, "")
    worker.now_ms += 60_000
    assert await asked(client, {"X-API-Key": old}) == (401, "UNAUTHORIZED")
    assert await asked(client, {"X-API-Key": issued.text}) == (200, "")


async def test_a_key_rotated_twice_leaves_two_at_most(worker: Worker, client: Client) -> None:
    key, first = new_key("viewer")
    second, third = issue_key(PEPPER), issue_key(PEPPER)
    once = rotated(key, second.credential, NOW, overlap_ms=60_000)
    put_key(worker, rotated(once, third.credential, NOW, overlap_ms=60_000))
    assert await asked(client, {"X-API-Key": first}) == (401, "UNAUTHORIZED")
    assert await asked(client, {"X-API-Key": second.text}) == (200, "")
    assert await asked(client, {"X-API-Key": third.text}) == (200, "")


async def test_without_an_overlap_the_old_key_ends_at_once(worker: Worker, client: Client) -> None:
    key, old = new_key("viewer")
    put_key(worker, rotated(key, issue_key(PEPPER).credential, NOW, overlap_ms=0))
    assert await asked(client, {"X-API-Key": old}) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("status", ["revoked", "draft", "paused", "archived"])
async def test_a_key_that_is_not_active_opens_nothing(worker: Worker, client: Client, status: str) -> None:
    key, text = new_key("admin")
    put_key(worker, key)
    assert await asked(client, {"X-API-Key": text}) == (200, "")
    changed = revoked(key) if status == "revoked" else msgspec.structs.replace(key, status=status)
    put_key(worker, changed)
    assert await asked(client, {"X-API-Key": text}) == (401, "UNAUTHORIZED")


async def test_keys_under_another_pepper_do_not_hold_and_it_is_said_once(
    worker: Worker, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("web.auth.log.warning", lambda _, **fields: said.append(fields["key_id"]))
    key, _ = new_key("viewer")
    other = issue_key("another pepper, of many characters")
    put_key(worker, msgspec.structs.replace(key, credentials=(other.credential,)))
    # A wrong key under the own pepper says nothing of it.
    own, text = new_key("viewer", "own")
    put_key(worker, own)
    altered = text[:-1] + ("a" if text[-1] != "a" else "b")
    assert await asked(client, {"X-API-Key": altered}) == (401, "UNAUTHORIZED")
    assert said == []
    for _ in range(2):
        assert await asked(client, {"X-API-Key": other.text}) == (401, "UNAUTHORIZED")
    assert said == ["viewer-key"]


async def test_before_the_catalogue_is_read_nobody_is_known_and_nobody_refused(
    worker: Worker, client: Client
) -> None:
    worker.catalogue_ready = False
    assert await asked(client, {"X-API-Key": "otk_x"}) == (503, "NOT_READY")


async def test_health_and_metrics_need_no_key(client: Client) -> None:
    for path in ("/health", "/ready", "/metrics"):
        assert (await client.get(path)).status == 200


def test_a_worker_without_a_pepper_does_not_start(tmp_path: Path) -> None:
    worker = Worker(tmp_path, auth_mode="api_key")

    async def build() -> None:
        async with worker.client("none"):
            raise AssertionError("it started")

    with pytest.raises(SettingsError, match="OFFERTIDE_API_KEY_PEPPER: not set"):
        asyncio.run(build())


def test_only_a_digest_of_a_key_is_stored() -> None:
    issued = issue_key(PEPPER)
    stored = msgspec.json.encode(issued.credential)
    assert issued.text[17:].encode() not in stored
    assert issued.credential.digest == key_digest(issued.text, PEPPER)
    assert PEPPER.encode() not in stored


async def test_uses_of_keys_are_noted(worker: Worker, client: Client) -> None:
    headers = give_key(worker, "viewer", key_id="mine")
    assert worker.engine.key_uses.last_ms(TENANT, "mine") is None
    await asked(client, {"X-API-Key": "otk_x"})
    assert worker.engine.key_uses.last_ms(TENANT, "mine") is None
    await asked(client, headers)
    assert worker.engine.key_uses.last_ms(TENANT, "mine") == NOW_MS


# -- between workers


@pytest.fixture
async def pair(worker: Worker, client: Client, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a worker that owns nothing and sends on to `worker`."""
    other = Worker(tmp_path / "other", web_port=free_ports(1)[0], **KEYED)
    other.owners = dict.fromkeys(range(PARTITIONS), str(client.make_url("/")).rstrip("/"))
    async with other.client("other") as one:
        one.worker = other  # type: ignore[attr-defined]
        yield one
    other.close()


async def test_an_owner_takes_the_first_workers_word(worker: Worker, pair: Client) -> None:
    headers = give_key(pair.worker, "viewer")  # type: ignore[attr-defined]
    # The owner has not read of this key yet.
    assert await asked(pair, headers) == (200, "")
    assert worker.engine.key_uses.last_ms(TENANT, "viewer-key") is None


async def test_the_first_worker_refuses_by_itself(worker: Worker, pair: Client) -> None:
    headers = give_key(worker, "viewer")
    assert await asked(pair, headers) == (401, "UNAUTHORIZED")


async def test_a_caller_cannot_vouch_for_itself(worker: Worker, client: Client, pair: Client) -> None:
    caller = Caller(TENANT, Role.ADMIN, frozenset(), "key:forged")
    request = make_mocked_request("GET", PATH)
    forged = Voucher("not the pepper, and long enough", lambda: NOW_MS).word(request, caller, "req", b"")
    sent = {"X-Request-Id": "req", FORWARDED_BY: "offertide http://x:1", VOUCHED: forged}
    assert await asked(client, sent) == (401, "UNAUTHORIZED")
    assert await asked(client, {**sent, VOUCHED: "x"}) == (401, "UNAUTHORIZED")
    assert await asked(client, {**sent, VOUCHED: "\xff.\xff"}) == (401, "UNAUTHORIZED")
    # What a caller sends to a first worker under that name is not sent on.
    headers = {**give_key(pair.worker, "viewer"), VOUCHED: forged}  # type: ignore[attr-defined]
    assert await asked(pair, headers) == (200, "")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"method": "HEAD"}, 401),
        ({"path": PATH + "?x=1"}, 401),
        ({"path": "/api/v1/customers/bob"}, 401),
        ({"request_id": "another"}, 401),
        ({"late_ms": FRESH_MS + 1}, 401),
        ({"late_ms": FRESH_MS}, 200),
    ],
)
async def test_a_word_holds_for_one_request_and_a_while(
    worker: Worker, client: Client, changed: dict[str, Any], status: int
) -> None:
    caller = Caller(TENANT, Role.VIEWER, frozenset(), "key:a", "a")
    word = Voucher(PEPPER, lambda: NOW_MS).word(make_mocked_request("GET", PATH), caller, "req", b"")
    worker.now_ms += changed.get("late_ms", 0)
    headers = {
        "X-Request-Id": changed.get("request_id", "req"),
        FORWARDED_BY: "offertide http://x:1",
        VOUCHED: word,
    }
    response = await client.request(changed.get("method", "GET"), changed.get("path", PATH), headers=headers)
    assert response.status == status


async def test_a_word_says_who_calls(worker: Worker) -> None:
    voucher = Voucher(PEPPER, lambda: NOW_MS)
    caller = Caller(TENANT, Role.EDITOR, frozenset({"decide", "respond"}), "key:a", "a")
    heard: list[Caller | None] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(voucher.caller(request))
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        word = voucher.word(make_mocked_request("GET", "/a%2Fb?c=%20d"), caller, "req", b"{}")
        url = URL(str(server.make_url("/a%2Fb?c=%20d")), encoded=True)
        await session.get(url, headers={VOUCHED: word, "X-Request-Id": "req"})
    digest = hashlib.sha256(b"{}").digest()
    assert heard == [dataclasses.replace(caller, forwarded=True, body_digest=digest)]


@pytest.mark.parametrize(
    ("body", "status"), [(b'{"tags": ["a"]}', 503), (b'{"tags": ["b"]}', 401), (b"", 401), (b"{", 401)]
)
async def test_a_word_holds_for_one_body(worker: Worker, client: Client, body: bytes, status: int) -> None:
    caller = Caller(TENANT, Role.EDITOR, frozenset(), "key:a", "a")
    signed = b'{"tags": ["a"]}'
    word = Voucher(PEPPER, lambda: NOW_MS).word(make_mocked_request("PUT", PATH), caller, "req", signed)
    headers = {"X-Request-Id": "req", FORWARDED_BY: "offertide http://x:1", VOUCHED: word}
    headers["Content-Type"] = "application/json"
    # There is no broker: what is believed is answered 503.
    worker.leased = False
    for sent in (body, gzip.compress(body)):
        headers.update({"Content-Encoding": "gzip"} if sent != body else {})
        assert (await client.put(PATH, data=sent, headers=headers)).status == status


async def test_the_key_stays_with_the_worker_it_was_sent_to(worker: Worker, pair: Client) -> None:
    seen: list[Mapping[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.copy())
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    key = give_key(pair.worker, "viewer")["X-API-Key"]  # type: ignore[attr-defined]
    pair.worker.documented = False  # type: ignore[attr-defined]
    async with TestServer(app) as server:
        owner = str(server.make_url("/")).rstrip("/")
        pair.worker.owners = dict.fromkeys(range(PARTITIONS), owner)  # type: ignore[attr-defined]
        for headers in ({"X-API-Key": key}, {"authorization": f"Bearer {key}"}):
            assert (await pair.get(PATH, headers=headers)).status == 200
    assert len(seen) == 2
    for received in seen:
        assert VOUCHED in received
        assert not [name for name, value in received.items() if key in value]
        assert "Authorization" not in received
