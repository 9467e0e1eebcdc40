"""The conventions of the contract, sentence by sentence, against a live worker."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.ids import parse_routed_id
from tests.contract.bank import EMAIL, TENANT
from tests.contract.service import Got, Service
from tests.contract.shapes import ERROR, misfits

RECOMMEND, RESPOND, INGEST = "/api/v1/recommend", "/api/v1/respond", "/api/v1/events/ingest"
KINDS = {
    "offers": "offers",
    "creatives": "creatives",
    "channels": "channels",
    "placements": "placements",
    "categories": "categories",
    "decision-flows": "decisionFlows",
    "qualification-rules": "qualificationRules",
    "contact-policies": "contactPolicies",
    "outcome-types": "outcomeTypes",
    "behavioral-metrics": "behavioralMetrics",
    "segments": "segments",
    "experiments": "experiments",
    "models": "models",
    "api-keys": "apiKeys",
    "tenant-settings": "tenantSettings",
}
LISTS = [*(f"/api/v1/{kind}" for kind in KINDS), "/api/v1/audit", "/api/v1/decision-traces?customerId=x"]


def refused(got: Got, status: int, code: str) -> Any:
    """The body of an error, which must be as all are."""
    assert (got.status, got.body["code"]) == (status, code), got
    assert misfits(got.body, ERROR) == []
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-request-id"] == got.body["requestId"]
    return got.body


def fields(body: Any) -> set[str]:
    return {one["field"] for one in body["details"]}


def test_a_key_comes_in_either_header_and_its_tenant_may_be_said(service: Service) -> None:
    key = service.keys["viewer"]
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer {key}"},
        {"X-API-Key": key, "Authorization": f"Bearer {key}", "X-Tenant-Id": TENANT},
        {"X-API-Key": key, "X-Requested-With": "XMLHttpRequest"},
    ):
        assert service.call("GET", "/api/v1/offers", role=None, headers=headers).status == 200
    other = service.call("GET", "/api/v1/offers", headers={"X-Tenant-Id": "other"})
    refused(other, 403, "FORBIDDEN")
    for headers in ({}, {"X-Tenant-Id": TENANT}, {"X-API-Key": "otk_x"}, {"Authorization": "Basic eDp5"}):
        refused(service.call("GET", "/api/v1/offers", role=None, headers=headers), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("sent", ["req-12345678", "0af7651916cd43dd8448eb211c80319c", "a"])
def test_a_sane_request_id_comes_back(service: Service, sent: str) -> None:
    for path in ("/api/v1/offers", "/api/v1/nothing", "/health"):
        assert service.call("GET", path, headers={"X-Request-Id": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "<script>", 'a"b', "{}", "\u00e9", "a\tb"])
def test_an_insane_request_id_does_not(service: Service, sent: str) -> None:
    for path in ("/api/v1/offers", "/api/v1/nothing"):
        headers = {"X-Request-Id": sent.encode("latin-1")}
        got = service.call("GET", path, headers=headers)  # type: ignore[arg-type]
        assert got.status in (200, 404)
        assert got.headers["x-request-id"] not in ("", sent)


@pytest.mark.parametrize(
    ("method", "path", "body", "bad"),
    [
        (
            "POST",
            RECOMMEND,
            {"limit": 51, "placements": [{"limit": 0}], "trace": 1, "attributes": []},
            {"customerId", "limit", "placements[0].limit", "placements[0].placement", "trace", "attributes"},
        ),
        (
            "POST",
            RESPOND,
            {"customerId": "", "rank": 0, "conversionValue": "1", "timestamp": "2026-01-01T00:00:00"},
            {"customerId", "rank", "conversionValue", "timestamp", "outcome", "creativeId"},
        ),
        (
            "POST",
            INGEST,
            {"type": "refund", "data": [], "timestamp": "yesterday"},
            {"type", "customerId", "data", "timestamp"},
        ),
        (
            "PUT",
            "/api/v1/customers/ann",
            {"attributes": [], "tags": "x", "consent": {"email": "maybe"}},
            {"attributes", "tags", "consent.email"},
        ),
        (
            "POST",
            "/api/v1/offers",
            {"categoryId": "cat_loans", "priority": 101, "colour": "red", "weight": -1},
            {"name", "priority", "colour", "weight"},
        ),
        ("GET", "/api/v1/offers?limit=201&offset=-1", None, {"limit", "offset"}),
        ("GET", "/api/v1/decision-traces?limit=0&offset=x", None, {"limit", "offset", "customerId"}),
    ],
)
def test_all_bad_fields_come_at_once(
    service: Service, method: str, path: str, body: Any, bad: set[str]
) -> None:
    assert fields(refused(service.call(method, path, body), 400, "VALIDATION_ERROR")) == bad


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (RECOMMEND, "POST"),
        (RESPOND, "POST"),
        ("/api/v1/capture", "POST"),
        (INGEST, "POST"),
        ("/api/v1/events", "POST"),
        ("/api/v1/simulate", "POST"),
        ("/api/v1/customers/ann", "GET, PUT, PATCH, DELETE, HEAD"),
        ("/api/v1/customers/ann/eligibility", "GET, HEAD"),
        ("/api/v1/offers", "GET, POST, HEAD"),
        ("/api/v1/offers/x", "GET, PUT, DELETE, HEAD"),
        ("/api/v1/audit", "GET, HEAD"),
        ("/health", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_says_which(service: Service, path: str, allow: str) -> None:
    got = service.call("TRACE" if "POST" in allow else "POST", path)
    refused(got, 405, "METHOD_NOT_ALLOWED")
    assert set(got.headers["allow"].split(", ")) == set(allow.split(", "))


@pytest.mark.parametrize("path", [RECOMMEND, RESPOND, INGEST, "/api/v1/events", "/api/v1/offers"])
def test_too_large_and_not_json(service: Service, path: str) -> None:
    large = b'{"customerId": "' + b"x" * 262_144 + b'"}'
    refused(service.call("POST", path, data=large), 413, "PAYLOAD_TOO_LARGE")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        got = service.call("POST", path, data=b"{}", headers={"Content-Type": kind})
        refused(got, 415, "UNSUPPORTED_MEDIA_TYPE")
    for body in (b"", b"[", b"\xff", b"null", b"3", b'{"a": 1, "a": 2}'):
        refused(service.call("POST", path, data=body), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v2/offers",
        "/api/v1/recommend/",
        "/table",
        "/graph",
        "/%0a",
    ],
)
def test_nothing_there_is_json(service: Service, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        refused(service.call(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", LISTS)
def test_lists(service: Service, path: str) -> None:
    name = "audit" if path.endswith("audit") else KINDS.get(path.rpartition("/")[2], "decisionTraces")
    mark = "&" if "?" in path else "?"
    whole = service.ok("GET", path)
    assert (isinstance(whole[name], list), isinstance(whole["total"], int)) == (True, True)
    assert len(whole[name]) == min(whole["total"], 50)
    some = service.ok("GET", f"{path}{mark}limit=1&offset=1")
    assert (some[name], some["total"]) == (whole[name][1:2], whole["total"])
    for query, bad in (
        ("limit=0", {"limit"}),
        ("limit=201", {"limit"}),
        ("limit=1.0&offset=-1", {"limit", "offset"}),
    ):
        got = service.call("GET", f"{path}{mark}{query}")
        assert fields(refused(got, 400, "VALIDATION_ERROR")) == bad


def test_a_stale_version_is_409_and_without_one_the_last_write_wins(service: Service) -> None:
    path = "/api/v1/categories/cat_versions"
    service.ok("POST", "/api/v1/categories", {"id": "cat_versions", "name": "First"})
    assert service.ok("PUT", path, {"name": "Second"}, headers={"If-Match": "1"})["version"] == 2
    refused(service.call("PUT", path, {"name": "Third"}, headers={"If-Match": "1"}), 409, "CONFLICT")
    refused(service.call("PUT", path, {"name": "Third", "version": 1}), 409, "CONFLICT")
    assert service.ok("PUT", path, {"name": "Third", "version": 2})["version"] == 3
    assert service.ok("PUT", path, {"name": "Fourth"})["version"] == 4
    refused(service.call("DELETE", path, headers={"If-Match": "3"}), 409, "CONFLICT")
    gone = service.call("DELETE", path, headers={"If-Match": "4"})
    assert (gone.status, gone.body) == (204, "")
    refused(service.call("GET", path), 404, "NOT_FOUND")


def test_references(service: Service) -> None:
    offer = {"name": "x", "categoryId": "cat_nowhere"}
    body = refused(service.call("POST", "/api/v1/offers", offer), 400, "VALIDATION_ERROR")
    assert "cat_nowhere" in body["details"][0]["message"]
    body = refused(service.call("DELETE", f"/api/v1/channels/{EMAIL}"), 409, "CONFLICT")
    assert "creatives" in str(body["details"])


def test_browsers_are_let_in_by_exact_origin_only(service: Service) -> None:
    page = {"Origin": "https://shop.example"}
    asks = {**page, "Access-Control-Request-Method": "POST"}
    plain = service.call("GET", "/api/v1/offers", headers=page)
    assert "access-control-allow-origin" not in plain.headers
    refused(service.call("OPTIONS", RECOMMEND, role=None, headers=asks), 403, "FORBIDDEN")
    service.ok("POST", "/api/v1/tenant-settings", {"id": "settings", "corsOrigins": ["https://shop.example"]})
    preflight = service.call("OPTIONS", RECOMMEND, role=None, headers=asks)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, page["Origin"])
    assert "X-API-Key".lower() in preflight.headers["access-control-allow-headers"].lower()
    let_in = service.call("GET", "/api/v1/offers", headers=page)
    assert let_in.headers["access-control-allow-origin"] == page["Origin"]
    for origin in ("https://shop.example.evil", "http://shop.example", "https://shop.example:444", "null"):
        got = service.call("GET", "/api/v1/offers", headers={"Origin": origin})
        assert "access-control-allow-origin" not in got.headers
    assert service.call("DELETE", "/api/v1/tenant-settings/settings").status == 204


def test_ids_carry_their_partition(service: Service) -> None:
    service.ok("PUT", "/api/v1/customers/ids", {"tags": ["x"]})
    answer = service.ok("POST", RECOMMEND, {"customerId": "ids", "trace": True})
    said = {"customerId": "ids", "recommendationId": answer["recommendationId"], "rank": 1}
    response = service.ok("POST", RESPOND, {**said, "outcome": "click", "idempotencyKey": "k"})
    routed = parse_routed_id(answer["recommendationId"])
    trace = parse_routed_id(answer["traceId"])
    assert routed is not None
    assert trace is not None
    interactions = [response["interactionId"], answer["decisions"][0]["interactionId"]]
    found = {trace.partition, *(int(one.split("_")[1], 16) for one in interactions)}
    assert found == {routed.partition}


def test_roles_beyond_the_tables(service: Service) -> None:
    service.ok("PUT", "/api/v1/customers/roles", {"tags": ["x"]})
    trace = service.ok("POST", RECOMMEND, {"customerId": "roles", "trace": True})["traceId"]
    line = b'{"customerId": "roles", "tags": ["y"]}'
    lowest = {
        ("GET", f"/api/v1/decision-traces/{trace}"): "viewer",
        ("GET", "/api/v1/customers/roles/eligibility"): "viewer",
        ("GET", "/api/v1/experiments/cta/results"): "viewer",
        ("PUT", "/api/v1/customers/roles"): "editor",
        ("PATCH", "/api/v1/customers/roles"): "editor",
        ("POST", "/api/v1/customers/bulk"): "editor",
        ("POST", "/api/v1/simulate"): "editor",
        ("GET", "/api/v1/catalog/export"): "admin",
        ("POST", "/api/v1/catalog/import?dryRun=true"): "admin",
        ("GET", "/api/v1/audit"): "admin",
        ("GET", "/api/v1/api-keys"): "admin",
        ("DELETE", "/api/v1/customers/roles"): "admin",
    }
    order = ["viewer", "editor", "admin"]
    for (method, path), role in lowest.items():
        for one in order:
            bulk = path.endswith("bulk")
            body = {"customerId": "roles"} if path.endswith("simulate") else {}
            options: dict[str, Any] = (
                {"headers": {"Content-Type": "application/x-ndjson"}, "data": line} if bulk else {}
            )
            got = service.call(method, path, None if bulk or method == "GET" else body, role=one, **options)
            if order.index(one) < order.index(role):
                refused(got, 403, "FORBIDDEN")
            else:
                assert got.status < 300, (method, path, one, got)


def test_operations(service: Service) -> None:
    assert service.ok("GET", "/health", role=None)
    assert service.ok("GET", "/ready", role=None)["partitionsOwned"] == 8
    assert "offertide_http_requests_total" in service.ok("GET", "/metrics", role=None)
    refused(service.call("GET", "/api/v1/topology", role=None), 401, "UNAUTHORIZED")
    assert len(service.ok("GET", "/api/v1/topology", role="viewer")["partitions"]) == 8
