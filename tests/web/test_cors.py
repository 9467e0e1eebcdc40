"""Which browsers' pages may call: preflights without a key, answers shown to a tenant's own origins only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.decision.catalogue import CatalogSnapshot
from app.decision.validation import load_entity
from tests.web.harness import ENTITIES, HEADERS, PARTITIONS, TENANT, Client, Worker, running, snapshot

SHOP = "https://shop.example"
OTHER = "https://other.example:8443"
RECOMMEND = "/api/v1/recommend"
CORS = "Access-Control-"


def listing(origins: dict[str, list[str]]) -> CatalogSnapshot:
    """The catalogue, with tenants that list these origins."""
    made = snapshot()
    for tenant_id, listed in origins.items():
        settings = load_entity("tenant-settings", {"id": "settings", "corsOrigins": listed})
        assert not isinstance(settings, list), settings
        made = made.with_changes(tenant_id, {("tenant-settings", "settings"): settings}, 8)
    return made


def cors_headers(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith(CORS)}


def asking(origin: str, method: str = "POST") -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method}


async def test_it_is_off_unless_a_tenant_lists_origins(client: Client) -> None:
    preflight = await client.options(RECOMMEND, headers=asking(SHOP))
    assert (preflight.status, (await preflight.json())["code"]) == (403, "FORBIDDEN")
    assert not cors_headers(preflight)
    answer = await client.post(RECOMMEND, json={"customerId": "ann"}, headers={**HEADERS, "Origin": SHOP})
    assert not cors_headers(answer)
    assert "Vary" not in answer.headers


async def test_a_preflight_needs_no_key_and_is_granted_what_clients_use(
    worker: Worker, client: Client
) -> None:
    worker.catalogue = listing({TENANT: [SHOP], "second": [OTHER]})
    for origin in (SHOP, OTHER):
        for path, methods in (
            (RECOMMEND, "POST"),
            ("/api/v1/customers/ann", "GET, PUT, PATCH, DELETE, HEAD"),
        ):
            response = await client.options(path, headers=asking(origin))
            assert (response.status, await response.read()) == (204, b"")
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert response.headers["Access-Control-Allow-Methods"] == methods
            assert "X-API-Key" in response.headers["Access-Control-Allow-Headers"]
            assert int(response.headers["Access-Control-Max-Age"]) > 0
            assert "Origin" in response.headers["Vary"]
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "origin", ["https://shop.example.evil", "http://shop.example", "https://SHOP.example", "null", "*", ""]
)
async def test_an_origin_that_is_not_listed_exactly_is_refused(
    worker: Worker, client: Client, origin: str
) -> None:
    worker.catalogue = listing({TENANT: [SHOP]})
    response = await client.options(RECOMMEND, headers=asking(origin))
    assert (response.status, cors_headers(response)) == (403, {})
    assert response.headers["Vary"] == "Origin"


async def test_options_that_are_no_preflight_or_of_no_path_are_as_ever(
    worker: Worker, client: Client
) -> None:
    worker.catalogue = listing({TENANT: [SHOP]})
    assert (await client.options(RECOMMEND)).status == 405
    assert (await client.options(RECOMMEND, headers={"Origin": SHOP})).status == 405
    assert (await client.options("/api/v1/nothing", headers=asking(SHOP))).status == 404
    assert (await client.options("/metrics", headers=asking(SHOP, "GET"))).status == 405


async def test_answers_and_errors_are_shown_to_the_callers_own_origins_only(
    worker: Worker, client: Client
) -> None:
    worker.catalogue = listing({TENANT: [SHOP], "second": [OTHER]})
    worker.know("ann")
    for method, path, status in (
        ("GET", "/api/v1/customers/ann", 200),
        ("GET", "/api/v1/customers/bob", 404),
        ("POST", RECOMMEND, 400),
        ("POST", "/api/v1/respond", 415),
    ):
        kind = "text/plain" if status == 415 else "application/json"
        for tenant, origin, shown in (
            (TENANT, SHOP, True),
            (TENANT, OTHER, False),
            ("second", SHOP, False),
        ):
            headers = {"X-Tenant-Id": tenant, "Origin": origin, "Content-Type": kind}
            response = await client.request(
                method, path, data=b"{}" if method == "POST" else None, headers=headers
            )
            if tenant == TENANT:
                assert response.status == status
            if not shown:
                assert cors_headers(response) == {}
                continue
            assert cors_headers(response) == {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Expose-Headers": "X-Request-Id, Retry-After",
            }
            assert response.headers["Vary"] == "Origin"


async def test_who_says_no_tenant_is_shown_nothing(worker: Worker, client: Client) -> None:
    worker.catalogue = listing({TENANT: [SHOP]})
    response = await client.post(RECOMMEND, json={}, headers={"Origin": SHOP})
    assert (response.status, cors_headers(response)) == (401, {})


async def test_a_request_that_was_sent_on_has_each_header_once(tmp_path: Path) -> None:
    other = Worker(tmp_path / "other")
    other.catalogue = listing({TENANT: [SHOP]})
    with running(tmp_path / "owner") as owner:
        owner.catalogue = other.catalogue
        owner.know("ann")
        async with owner.client("owner") as direct, other.client("other") as asked:
            other.owners = dict.fromkeys(range(PARTITIONS), str(direct.make_url("/")).rstrip("/"))
            response = await asked.get("/api/v1/customers/ann", headers={**HEADERS, "Origin": SHOP})
            assert response.status == 200
            names = [name.decode().lower() for name, _ in response.raw_headers]
            assert len(names) == len(set(names)), names
            assert response.headers["Access-Control-Allow-Origin"] == SHOP


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("https://shop.example", None),
        ("http://localhost:3000", None),
        ("https://[::1]:8443", None),
        ("https://a.b-c.example:65535", None),
        ("*", "one origin"),
        ("https://*.example", "one origin"),
        ("null", "one origin"),
        ("shop.example", "one origin"),
        ("https://shop.example/", "one origin"),
        ("https://shop.example/path", "one origin"),
        ("https://Shop.example", "one origin"),
        ("https://user@shop.example", "one origin"),
        ("https://shop.example\n", "one origin"),
        ("ftp://shop.example", "one origin"),
        ("https://münchen.example", "one origin"),
        ("https://shop.example:443", "leave out the port"),
        ("http://shop.example:80", "leave out the port"),
        ("https://shop.example:0", "one origin"),
        ("https://shop.example:65536", "port past"),
        ("https://twice.example", "twice"),
    ],
)
def test_an_origin_is_exactly_what_a_browser_sends(origin: str, told: str | None) -> None:
    body = {"id": "settings", "corsOrigins": ["https://twice.example", origin]}
    found = load_entity("tenant-settings", body)
    if told is None:
        assert not isinstance(found, list), found
        return
    assert isinstance(found, list)
    assert [problem.path for problem in found] == ["corsOrigins[1]"]
    assert told in found[0].message


def test_the_index_of_origins_follows_the_catalogue() -> None:
    assert dict(snapshot(ENTITIES).cors_origins) == {}
    both = listing({"a": [SHOP], "b": [SHOP, OTHER]})
    assert dict(both.cors_origins) == {SHOP: {"a", "b"}, OTHER: {"b"}}
    archived = load_entity("tenant-settings", {"id": "settings", "status": "archived", "corsOrigins": [SHOP]})
    assert not isinstance(archived, list)
    gone = both.with_changes("a", {("tenant-settings", "settings"): archived}, 9)
    assert dict(gone.cors_origins) == {SHOP: {"b"}, OTHER: {"b"}}
