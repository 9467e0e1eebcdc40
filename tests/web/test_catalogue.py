"""Every kind of entity over HTTP: created, read, listed, replaced, deleted, and refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.decision.entities import KINDS
from tests.web.catalogue_kinds import BY_KIND, CASES, KindCase
from tests.web.harness import HEADERS, TENANT, Client, Worker
from web.entities import PREFIXES
from web.entity_operations import plural

API = "/api/v1"


async def call(
    client: Client, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, Mapping[str, str]]:
    """Status, decoded body (None for none) and headers."""
    sent = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with client.request(method, f"{API}{path}", json=body, headers=sent) as response:
        text = await response.text()
        return response.status, await response.json() if text else None, response.headers


async def prepared(client: Client, case: KindCase, **fields: Any) -> dict[str, Any]:
    """The case's entity with id x1, made with what it needs."""
    for kind, body in case.needs:
        status, answer, _ = await call(client, "POST", f"/{kind}", body)
        assert status == 201, answer
    status, answer, _ = await call(client, "POST", f"/{case.kind}", {"id": "x1", **case.least, **fields})
    assert status == 201, answer
    return dict(answer)


every_kind = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)


def test_every_kind_of_the_core_is_served_or_has_views_of_its_own() -> None:
    assert set(PREFIXES) == set(KINDS) - {"api-keys"} == set(BY_KIND)


@every_kind
async def test_an_entity_is_made_read_replaced_and_deleted(client: Client, case: KindCase) -> None:
    made = await prepared(client, case)
    assert (made["id"], made["version"], made["createdBy"]) == ("x1", 1, "sandbox")
    assert made["createdAt"] == made["updatedAt"] is not None
    status, read, headers = await call(client, "GET", f"/{case.kind}/x1")
    assert (status, read, headers["ETag"]) == (200, made, '"1"')
    fields = KINDS[case.kind].__struct_encode_fields__
    assert tuple(read) == fields, "complete, defaults included"

    status, changed, headers = await call(client, "PUT", f"/{case.kind}/x1", {**case.least, **case.changed})
    assert (status, changed["version"], headers["ETag"]) == (200, 2, '"2"')
    assert changed["createdAt"] == made["createdAt"] < changed["updatedAt"]
    assert {name: changed[name] for name in case.changed if name != "customFields"} == {
        name: value for name, value in case.changed.items() if name != "customFields"
    }
    # What was read can be sent back; saying the same again is no new version.
    status, again, _ = await call(client, "PUT", f"/{case.kind}/x1", changed)
    assert (status, again) == (200, changed)
    # A field that is not sent takes its default.
    status, back, _ = await call(client, "PUT", f"/{case.kind}/x1", case.least)
    assert {**back, "version": 1, "updatedAt": made["updatedAt"]} == made

    status, answer, headers = await call(client, "DELETE", f"/{case.kind}/x1")
    assert (status, answer, headers.get("Content-Type")) == (204, None, None)
    for method, body in (("GET", None), ("PUT", case.least), ("DELETE", None)):
        status, answer, _ = await call(client, method, f"/{case.kind}/x1", body)
        assert (status, answer["code"]) == (404, "NOT_FOUND")


@every_kind
async def test_a_generated_id_says_its_kind_and_the_location_finds_it(client: Client, case: KindCase) -> None:
    for kind, body in case.needs:
        await call(client, "POST", f"/{kind}", body)
    status, made, headers = await call(client, "POST", f"/{case.kind}", case.least)
    assert status == 201
    prefix, _, rest = made["id"].partition("_")
    assert (prefix, len(rest)) == (PREFIXES[case.kind], 12)
    assert headers["Location"] == f"{API}/{case.kind}/{made['id']}"
    assert (await call(client, "GET", f"/{case.kind}/{made['id']}"))[1] == made


@every_kind
async def test_a_stale_version_changes_nothing(client: Client, case: KindCase) -> None:
    await prepared(client, case)
    path = f"/{case.kind}/x1"
    assert (await call(client, "PUT", path, {**case.least, **case.changed}, If_Match='"1"'))[0] == 200
    changed = (await call(client, "GET", path))[1]
    for body, headers in (
        (case.least, {"If_Match": "1"}),
        (case.least, {"If_Match": '"1"'}),
        (case.least, {"If_Match": 'W/"1"'}),
        ({**case.least, "version": 1}, {}),
        ({**case.least, "version": 3}, {"If_Match": "3"}),
    ):
        status, answer, _ = await call(client, "PUT", path, body, **headers)
        assert (status, answer["code"], answer["details"][0]["field"]) == (409, "CONFLICT", "version")
    status, answer, _ = await call(client, "DELETE", path, If_Match='"1"')
    assert (status, answer["code"]) == (409, "CONFLICT")
    status, answer, _ = await call(client, "PUT", path, {**case.least, "version": 1}, If_Match="2")
    assert (status, answer["details"][0]["field"]) == (400, "version")
    assert (await call(client, "GET", path))[1] == changed
    assert (await call(client, "DELETE", path, If_Match='W/"2"'))[0] == 204


@every_kind
async def test_what_is_taken_is_a_conflict(client: Client, case: KindCase) -> None:
    key = case.least.get("key", "k1")
    await prepared(client, case, key=key)
    for body in ({**case.least, "id": "x1"}, {**case.least, "key": key}, {**case.least, "id": key}):
        status, answer, _ = await call(client, "POST", f"/{case.kind}", {"key": "other", **body})
        assert (status, answer["code"]) == (409, "CONFLICT"), answer
    if case.kind != "tenant-settings":
        other = {**case.least, "id": "x2", "key": "k2"}
        assert (await call(client, "POST", f"/{case.kind}", other))[0] == 201
        for taken in (key, "x1"):
            body = {**case.least, "key": taken}
            status, answer, _ = await call(client, "PUT", f"/{case.kind}/x2", body)
            assert (status, answer["details"][0]["field"]) == (409, "key")
        assert (await call(client, "GET", f"/{case.kind}/x2"))[1]["version"] == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.user], ids=lambda case: case.kind)
async def test_what_is_in_use_is_not_deleted(client: Client, case: KindCase) -> None:
    assert case.user is not None
    await prepared(client, case)
    kind, body = case.user
    if kind == "offers" and case.kind != "categories":
        await call(client, "POST", "/categories", {"id": "cat", "name": "C"})
    status, answer, _ = await call(client, "POST", f"/{kind}", body)
    assert status == 201, answer
    status, answer, _ = await call(client, "DELETE", f"/{case.kind}/x1")
    assert (status, answer["code"]) == (409, "CONFLICT")
    assert [one["field"] for one in answer["details"]] == [f"{kind}[user]"]
    assert (await call(client, "DELETE", f"/{kind}/user"))[0] == 204
    assert (await call(client, "DELETE", f"/{case.kind}/x1"))[0] == 204


@every_kind
async def test_archived_is_kept_found_and_left_out_of_lists(client: Client, case: KindCase) -> None:
    made = await prepared(client, case)
    body = {**case.least, "status": "archived"}
    status, archived, _ = await call(client, "PUT", f"/{case.kind}/x1", body)
    assert (status, archived["status"]) == (200, "archived")
    name = plural(case.kind)
    assert (await call(client, "GET", f"/{case.kind}"))[1] == {name: [], "total": 0}
    for query in ("status=archived", "includeArchived=true"):
        assert (await call(client, "GET", f"/{case.kind}?{query}"))[1] == {name: [archived], "total": 1}
    assert (await call(client, "GET", f"/{case.kind}/x1"))[1] == archived
    restored = (await call(client, "PUT", f"/{case.kind}/x1", case.least))[1]
    assert (restored["status"], restored["version"]) == (made["status"], 3)
    assert (await call(client, "GET", f"/{case.kind}"))[1] == {name: [restored], "total": 1}


@every_kind
async def test_unknown_and_bad_fields_are_all_named(client: Client, case: KindCase) -> None:
    for kind, body in case.needs:
        assert (await call(client, "POST", f"/{kind}", body))[0] == 201
    bad = {**case.least, "prioritty": 1, "status": "gone", "id": "no spaces", "description": 7}
    for method, path in (("POST", f"/{case.kind}"), ("PUT", f"/{case.kind}/x1")):
        status, answer, _ = await call(client, method, path, bad)
        assert (status, answer["code"]) == (400, "VALIDATION_ERROR")
        found = {one["field"]: one["message"] for one in answer["details"]}
        assert set(found) == {"prioritty", "status", "id", "description"}
        assert "the fields are: id, key," in found["prioritty"]


@every_kind
async def test_another_tenant_sees_nothing(client: Client, case: KindCase) -> None:
    await prepared(client, case)
    rival = {"X_Tenant_Id": "rival"}
    assert (await call(client, "GET", f"/{case.kind}/x1", **rival))[0] == 404
    assert (await call(client, "GET", f"/{case.kind}", **rival))[1]["total"] == 0
    assert (await call(client, "PUT", f"/{case.kind}/x1", case.least, **rival))[0] in (400, 404)
    assert (await call(client, "DELETE", f"/{case.kind}/x1", **rival))[0] == 404
    assert (await call(client, "GET", f"/{case.kind}/x1"))[1]["version"] == 1


async def test_lists_come_in_pages_in_the_order_of_ids(client: Client) -> None:
    for name in ("b", "d", "a", "c"):
        assert (await call(client, "POST", "/categories", {"id": name, "name": name}))[0] == 201
    seen = []
    for offset in (0, 2, 4):
        status, answer, _ = await call(client, "GET", f"/categories?limit=2&offset={offset}")
        assert (status, answer["total"]) == (200, 4)
        seen.append([one["id"] for one in answer["categories"]])
    assert seen == [["a", "b"], ["c", "d"], []]
    for query, field in (
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("offset=-1", "offset"),
        ("status=gone", "status"),
        ("includeArchived=1", "includeArchived"),
    ):
        status, answer, _ = await call(client, "GET", f"/categories?{query}")
        assert (status, answer["details"][0]["field"]) == (400, field)


async def test_keys_name_entities_and_stay_unless_told_otherwise(client: Client) -> None:
    await call(client, "POST", "/categories", {"id": "c1", "key": "music", "name": "M"})
    status, made, _ = await call(client, "PUT", "/categories/music", {"name": "Music"})
    assert (status, made["id"], made["key"], made["name"]) == (200, "c1", "music", "Music")
    status, answer, _ = await call(client, "PUT", "/categories/music", {"id": "c2", "name": "M"})
    assert (status, answer["details"][0]["field"]) == (400, "id")
    assert (await call(client, "PUT", "/categories/music", {"key": None, "name": "M"}))[1]["key"] is None
    assert (await call(client, "GET", "/categories/music"))[0] == 404
    metric = {"id": "m", "key": "n", "aggregate": "count", "eventTypes": ["purchase"]}
    await call(client, "POST", "/behavioral-metrics", metric)
    body = {"aggregate": "count", "eventTypes": ["page_view"]}
    for reference in ("m", "n"):
        assert (await call(client, "PUT", f"/behavioral-metrics/{reference}", body))[1]["key"] == "n"


async def test_a_reference_to_nothing_is_400_by_the_entitys_own_path(client: Client) -> None:
    status, answer, _ = await call(client, "POST", "/offers", {"name": "O", "categoryId": "nowhere"})
    assert status == 400
    assert answer["details"] == [
        {"field": "categoryId", "message": "there is no nowhere among the categories"}
    ]
    flow = {"name": "F", "fallbackOfferIds": ["gone"]}
    assert (await call(client, "POST", "/decision-flows", flow))[0] == 201, "a draft may be incomplete"
    status, answer, _ = await call(client, "POST", "/decision-flows", {**flow, "status": "active"})
    assert (status, answer["details"][0]["field"]) == (400, "fallbackOfferIds[0]")


async def test_what_would_break_others_is_a_conflict_that_names_them(client: Client) -> None:
    field = {"key": "pages", "type": "number"}
    await call(
        client, "POST", "/categories", {"id": "c", "key": "books", "name": "B", "customFields": [field]}
    )
    offer = {"id": "o", "name": "O", "categoryId": "books", "fields": {"pages": 3}}
    assert (await call(client, "POST", "/offers", offer))[0] == 201
    for body, told in (
        ({"key": "tomes", "name": "B", "customFields": [field]}, "offers[o].categoryId"),
        ({"name": "B"}, "offers[o].fields.pages"),
    ):
        status, answer, _ = await call(client, "PUT", "/categories/c", body)
        assert (status, answer["code"]) == (409, "CONFLICT")
        assert [one["field"] for one in answer["details"]] == [told]
    assert (await call(client, "GET", "/categories/c"))[1]["version"] == 1


async def test_a_tenant_has_one_settings_entity(client: Client) -> None:
    assert (await call(client, "GET", "/tenant-settings"))[1] == {"tenantSettings": [], "total": 0}
    await call(client, "POST", "/tenant-settings", {"id": "s"})
    status, answer, _ = await call(client, "POST", "/tenant-settings", {"id": "t"})
    assert (status, answer["code"]) == (409, "CONFLICT")
    assert "tenant-settings[s]" in answer["error"]


async def test_system_outcome_types_are_no_entities(client: Client) -> None:
    assert (await call(client, "GET", "/outcome-types"))[1]["total"] == 0
    status, answer, _ = await call(
        client, "POST", "/outcome-types", {"key": "click", "classification": "positive"}
    )
    assert (status, answer["details"][0]["field"]) == (400, "key")


@pytest.mark.parametrize("version", ["1", 1.5, True, None, -1, 2**60])
async def test_a_version_that_is_none_is_400(client: Client, version: Any) -> None:
    await call(client, "POST", "/categories", {"id": "c", "name": "C"})
    status, answer, _ = await call(client, "PUT", "/categories/c", {"name": "C", "version": version})
    assert (status, answer["details"][0]["field"]) == (400, "version")


@pytest.mark.parametrize("said", ["", "one", '"1', '"1", "2"', "-1", "1.0", "W/1"])
async def test_an_if_match_that_names_no_version_is_400(client: Client, said: str) -> None:
    await call(client, "POST", "/categories", {"id": "c", "name": "C"})
    for method, body in (("PUT", {"name": "C"}), ("DELETE", None)):
        status, answer, _ = await call(client, method, "/categories/c", body, If_Match=said)
        assert (status, answer["details"][0]["field"]) == (400, "If-Match")
    assert (await call(client, "POST", "/categories", {"name": "D"}, If_Match="1"))[0] == 400
    assert (await call(client, "PUT", "/categories/c", {"name": "D"}, If_Match="*"))[0] == 200


async def test_what_was_wrong_before_does_not_stop_a_change(worker: Worker, client: Client) -> None:
    """An older program let it by, say: the rest can be changed, and it can be mended."""
    await call(client, "POST", "/categories", {"id": "c", "name": "C"})
    await call(client, "POST", "/offers", {"id": "o", "name": "O", "categoryId": "c"})
    log = worker.desk._log.tenant(TENANT)
    del log.entities["categories", "c"]
    assert (await call(client, "POST", "/categories", {"id": "d", "name": "D"}))[0] == 201
    assert (await call(client, "PUT", "/offers/o", {"name": "O", "categoryId": "c"}))[0] == 400
    assert (await call(client, "PUT", "/offers/o", {"name": "O", "categoryId": "d"}))[0] == 200
