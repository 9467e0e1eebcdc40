"""All bad fields of a write at once, those that refer to other entities included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.harness import Client, Worker
from tests.web.test_catalogue import call

DAY, DAY_AFTER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
RULE = {"kind": "attribute_condition", "config": {"field": "age", "operator": "gt", "value": 1}}


async def told(client: Client, kind: str, body: dict[str, Any], reference: str = "") -> list[str]:
    """The fields that a write tells of."""
    method, path = ("PUT", f"/{kind}/{reference}") if reference else ("POST", f"/{kind}")
    status, answer, _ = await call(client, method, path, body)
    assert (status, answer["code"]) == (400, "VALIDATION_ERROR"), answer
    return sorted(one["field"] for one in answer["details"])


@pytest.mark.parametrize("reference", ["", "vinyl"])
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (
            {"categoryId": "nope", "subCategoryId": "nope2", "startAt": DAY_AFTER, "endAt": DAY},
            ["categoryId", "endAt", "subCategoryId"],
        ),
        ({"categoryId": "nope", "priority": 999}, ["categoryId", "priority"]),
        ({"categoryId": "cat", "priority": 999, "fields": {"a": 1, "b": 2}},
         ["fields.a", "fields.b", "priority"]),
        # Which fields there are depends on what is wrong.
        ({"categoryId": "nope", "priority": 999, "fields": {"a": 1}}, ["categoryId", "priority"]),
        ({"categoryId": 7, "fields": {"a": 1}}, ["categoryId"]),
        ({"categoryId": "cat", "priority": 999}, ["priority"]),
    ],
)  # fmt: skip
async def test_references_are_told_beside_wrong_fields(
    worker: Worker, client: Client, body: dict[str, Any], fields: list[str], reference: str
) -> None:
    assert await told(client, "offers", {"name": "x", **body}, reference) == fields


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        ("creatives", {"name": "", "offerId": "gone", "channelId": "push", "placementId": "hero"},
         ["name", "offerId", "placementId"]),
        ("qualification-rules", {**RULE, "name": "", "scopes": [{"scope": "offer", "id": "gone"}]},
         ["name", "scopes[0].id"]),
        ("decision-flows", {"name": "", "status": "active", "routes": [{"channelId": "gone"}],
                            "fallbackOfferIds": ["gone"], "qualification": {"ruleIds": ["gone"]}},
         ["fallbackOfferIds[0]", "name", "qualification.ruleIds[0]", "routes[0].channelId"]),
        ("decision-flows", {"name": "", "status": "draft", "fallbackOfferIds": ["gone"]}, ["name"]),
        ("decision-flows", {"status": "no", "name": "x", "fallbackOfferIds": ["gone"]}, ["status"]),
        ("tenant-settings", {"timeZone": "Mars", "corsOrigins": ["*"], "quotaPerMonth": -1},
         ["corsOrigins[0]", "quotaPerMonth", "timeZone"]),
        ("categories", {"name": "", "parentId": "gone"}, ["name", "parentId"]),
    ],
)  # fmt: skip
async def test_every_kind_tells_all_at_once(
    worker: Worker, client: Client, kind: str, body: dict[str, Any], fields: list[str]
) -> None:
    assert await told(client, kind, body) == fields


async def test_a_categorys_formulas_are_not_judged_by_the_fields_it_had(client: Client) -> None:
    field = {"key": "a", "type": "number"}
    computed = {"key": "b", "type": "computed", "formula": "c + 1"}
    body = {"id": "k", "name": "K", "customFields": [field]}
    assert (await call(client, "POST", "/categories", body))[0] == 201
    changed = {"name": "", "customFields": [{"key": "c", "type": "number"}, computed]}
    assert await told(client, "categories", changed, "k") == ["name"]
