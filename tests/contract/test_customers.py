"""Customers, bulk loading, erasure and the catalogue as one document, against a live worker."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.bank import CATALOGUE, TENANT
from tests.contract.service import Service
from tests.contract.test_conventions import INGEST, RECOMMEND, fields, refused
from tests.contract.tools import curl

STATE = {
    "customerId", "attributes", "tags", "consent", "metrics", "contacts", "contactPolicies", "suppressions",
    "enrolments", "recentInteractions",
}  # fmt: skip


def path_of(customer: str) -> str:
    return f"/api/v1/customers/{quote(customer, safe='')}"


@pytest.mark.parametrize(
    "customer", ["a/b", "a b", "a?b#c", "ünï", "50%", "a+b", "a:b", "x" * 256, "日本", "'\"<>"]
)
def test_any_id_is_found_by_its_path(service: Service, customer: str) -> None:
    key = f"X-API-Key: {service.keys['admin']}"
    url = service.url + path_of(customer)
    put = curl(
        url,
        "--path-as-is",
        "-X",
        "PUT",
        "-H",
        key,
        "-d",
        '{"tags": ["x"]}',
        "-H",
        "Content-Type: application/json",
    )
    assert (put.status, put.body.get("customerId")) == (201, customer), put
    assert service.ok("POST", RECOMMEND, {"customerId": customer})["customerId"] == customer
    assert service.ok("GET", path_of(customer) + "/eligibility")["customerId"] == customer
    listed = service.ok("GET", f"/api/v1/decision-traces?customerId={quote(customer, safe='')}")
    assert listed["customerId"] == customer
    assert service.call("DELETE", path_of(customer)).status == 202


def test_a_customer(service: Service) -> None:
    path = path_of("stateful")
    refused(service.call("GET", path), 404, "NOT_FOUND")
    profile = {"attributes": {"a": 1, "b": "x"}, "tags": ["t"], "consent": {"email": "granted"}}
    first = service.call("PUT", path, profile, role="editor")
    assert (first.status, set(first.body) >= STATE) == (201, True)
    merged = service.ok("PATCH", path, {"attributes": {"a": None, "c": True}}, role="editor")
    assert (merged["attributes"], merged["tags"]) == ({"b": "x", "c": True}, ["t"])
    assert service.ok("GET", path, role="viewer")["attributes"] == merged["attributes"]
    replaced = service.ok("PUT", path, {"tags": []})
    assert (replaced["attributes"], replaced["tags"]) == ({}, [])
    refused(service.call("GET", path_of("x" * 257)), 400, "VALIDATION_ERROR")


def test_bulk(service: Service) -> None:
    kind = {"Content-Type": "application/x-ndjson"}
    body = b'{"customerId": "bulk-1", "tags": ["vip"]}\n{"customerId": "bulk-2", "tags": 7}\nno json\n'
    got = service.call("POST", "/api/v1/customers/bulk", data=body, headers=kind, role="editor")
    assert (got.status, got.body["accepted"], got.body["rejected"]) == (202, 1, 2)
    assert [one["status"] for one in got.body["results"]] == ["accepted", "rejected", "rejected"]
    assert fields(got.body["results"][1]) == {"tags"}
    form = {"Content-Type": "text/csv"}
    got = service.call("POST", "/api/v1/customers/bulk", data=body, headers=form)
    refused(got, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_an_erasure_and_its_fact(service: Service) -> None:
    path = path_of("erased@example.org")
    service.ok("PUT", path, {"tags": ["x"]})
    got = service.call("DELETE", path, headers={"X-Request-Id": "erase-1"})
    assert got.status == 202
    erasure = service.ok("GET", f"/api/v1/erasures/{got.body['erasureId']}")
    assert {"erasureId", "erasedAt", "goneAt", "remains", "status"} <= set(erasure)
    refused(service.call("GET", path), 404, "NOT_FOUND")
    facts = service.ok("GET", "/api/v1/audit?action=customer.erased&limit=200")
    (fact,) = [one for one in facts["audit"] if one["requestId"] == "erase-1"]
    assert fact["actor"]["id"] == "admin-key"
    assert "erased@example.org" not in str(facts) + str(erasure)
    # What comes after the answer is a new customer.
    time.sleep(0.01)
    service.ok("POST", INGEST, {"customerId": "erased@example.org", "type": "page_view"})
    assert service.ok("GET", path)["tags"] == []


def test_a_tenant_as_one_document(service: Service) -> None:
    exported = service.ok("GET", "/api/v1/catalog/export")
    assert exported["tenant"] == TENANT
    assert {one["id"] for one in CATALOGUE["offers"]} <= {one["id"] for one in exported["offers"]}
    assert "credentials" not in str(exported)
    same: Any = service.ok("POST", "/api/v1/catalog/import", exported)
    assert (same["created"], same["updated"], same["deleted"], same["version"]) == ([], [], [], None)
    changed = {"categories": [{"id": "cat_new", "name": "New"}]}
    dry = service.ok("POST", "/api/v1/catalog/import?dryRun=true", changed)
    assert (dry["created"], dry["dryRun"]) == ([{"kind": "categories", "id": "cat_new"}], True)
    refused(service.call("GET", "/api/v1/categories/cat_new"), 404, "NOT_FOUND")
    wrong = {"offers": [{"id": "o", "name": "o", "categoryId": "nowhere", "priority": 101}, {"id": "p"}]}
    bad = fields(refused(service.call("POST", "/api/v1/catalog/import", wrong), 400, "VALIDATION_ERROR"))
    assert {"offers[0].priority", "offers[1].name", "offers[1].categoryId"} <= bad
