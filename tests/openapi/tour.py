"""Representative calls of every kind, each with the status it must have: successes and every error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

API = "/api/v1"


class Step(NamedTuple):
    """A call. `body` is JSON unless it is text; `{names}` in path and body are taken from earlier answers.

    `takes` names what later steps may use: the name, and the answer's field it is from.
    """

    status: int
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}
    takes: Mapping[str, str] = {}


_YAML = {"Content-Type": "application/yaml"}
_LINES = {"Content-Type": "application/x-ndjson"}
_ANN = {"customerId": "ann"}
_CLICK = {**_ANN, "offerId": "offer-0", "outcome": "click"}
_TIER = {"id": "tiered", "name": "Tiered", "categoryId": "music", "fields": {}, "budget": {"maxPerDay": 5}}

TOUR: tuple[Step, ...] = (
    Step(
        201, "PATCH", "/customers/ann", {"attributes": {"firstName": "Ann"}, "consent": {"push": "granted"}}
    ),
    Step(200, "PUT", "/customers/ann", {"attributes": {"firstName": "Ann"}, "tags": ["vip"]}),
    Step(400, "PUT", "/customers/ann", {"tags": 1, "consent": {"email": "maybe"}}),
    Step(200, "POST", "/events/ingest", {**_ANN, "type": "purchase", "data": {"amount": 2}, "eventId": "e1"}),
    Step(200, "POST", "/events/ingest", {**_ANN, "type": "purchase", "data": {"amount": 2}, "eventId": "e1"}),
    Step(400, "POST", "/events/ingest", {"type": "other"}),
    Step(202, "POST", "/events", {"events": [{**_ANN, "eventType": "seen"}, {"eventType": "seen"}]}),
    Step(202, "POST", "/events", [{**_ANN, "type": "seen"}]),
    Step(202, "POST", "/customers/bulk", '{"customerId": "bob"}\n{"customerId": 1}\n', _LINES),
    Step(400, "POST", "/customers/bulk", "\n", _LINES),
    Step(415, "POST", "/customers/bulk", "{}", {"Content-Type": "application/json"}),
    Step(
        200,
        "POST",
        "/recommend",
        {**_ANN, "limit": 3, "trace": True, "debug": True},
        takes={"recommendation": "recommendationId", "trace": "traceId"},
    ),
    Step(200, "POST", "/recommend", {**_ANN, "placements": ["hero", {"placement": "hero", "limit": 1}]}),
    Step(200, "POST", "/recommend", {**_ANN, "channel": "push"}, {"Idempotency-Key": "once"}),
    Step(200, "POST", "/recommend", {**_ANN, "excludeOffers": [f"offer-{n}" for n in range(5)]}),
    Step(400, "POST", "/recommend", {"limit": 0, "placement": "nowhere"}),
    Step(400, "POST", "/recommend", "{"),
    Step(404, "POST", "/recommend", {"customerId": "nobody"}),
    Step(404, "POST", "/recommend", {**_ANN, "decisionFlowId": "none"}),
    Step(415, "POST", "/recommend", "a=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    Step(413, "POST", "/recommend", '{"customerId": "' + "x" * 300_000 + '"}'),
    Step(200, "POST", "/simulate", {**_ANN, "overrides": {"offers": [{"id": "offer-0", "priority": 1}]}}),
    Step(400, "POST", "/simulate", {**_ANN, "overrides": {"offer": []}}),
    Step(200, "GET", "/decision-traces/{trace}"),
    Step(404, "GET", "/decision-traces/none"),
    Step(200, "GET", "/decision-traces?customerId=ann"),
    Step(400, "GET", "/decision-traces"),
    Step(200, "GET", "/customers/ann/eligibility"),
    Step(200, "GET", "/customers/ann/eligibility?channel=push&offerId=offer-1"),
    Step(404, "GET", "/customers/ann/eligibility?offerId=none"),
    Step(
        201,
        "POST",
        "/respond",
        {
            **_ANN,
            "recommendationId": "{recommendation}",
            "rank": 1,
            "outcome": "click",
            "idempotencyKey": "k",
        },
    ),
    Step(
        200,
        "POST",
        "/respond",
        {
            **_ANN,
            "recommendationId": "{recommendation}",
            "rank": 1,
            "outcome": "click",
            "idempotencyKey": "k",
        },
    ),
    Step(201, "POST", "/respond", {**_CLICK, "idempotencyKey": "v", "conversionValue": 1}),
    Step(409, "POST", "/respond", {**_CLICK, "idempotencyKey": "v", "conversionValue": 2}),
    Step(201, "POST", "/capture", {**_ANN, "creativeId": "web-1", "outcomeType": "opt_out"}),
    Step(400, "POST", "/capture", {**_CLICK, "rank": 0}),
    Step(404, "POST", "/capture", {**_CLICK, "offerId": "none", "idempotencyKey": "n"}),
    Step(200, "GET", "/customers/ann"),
    Step(404, "GET", "/customers/nobody"),
    Step(404, "DELETE", "/customers/ann/suppressions/none"),
    Step(201, "POST", "/offers", _TIER),
    Step(409, "POST", "/offers", _TIER),
    Step(400, "POST", "/offers", {**_TIER, "categoryId": "none", "typo": 1}),
    Step(200, "PUT", "/offers/tiered", {**_TIER, "priority": 70}, {"If-Match": "1"}),
    Step(409, "PUT", "/offers/tiered", {**_TIER, "priority": 80}, {"If-Match": "1"}),
    Step(200, "GET", "/offers/tiered"),
    Step(404, "GET", "/offers/none"),
    Step(200, "GET", "/offers?limit=2&status=active"),
    Step(400, "GET", "/offers?limit=0"),
    Step(409, "DELETE", "/categories/music"),
    Step(204, "DELETE", "/offers/tiered"),
    Step(201, "POST", "/outcome-types", {"id": "borrow", "key": "borrow", "classification": "positive"}),
    Step(200, "PUT", "/outcome-types/borrow", {"classification": "neutral"}),
    Step(200, "GET", "/decision-flows"),
    Step(200, "GET", "/contact-policies"),
    Step(
        201,
        "POST",
        "/experiments",
        {
            "id": "test",
            "key": "test",
            "target": "creative",
            "offerId": "offer-0",
            "variants": [
                {"key": "a", "weight": 50, "creativeId": "web-0"},
                {"key": "b", "weight": 50, "creativeId": "push-0"},
            ],
            "controlVariant": "a",
        },
    ),
    Step(200, "GET", "/experiments/test"),
    Step(200, "GET", "/experiments/test/results"),
    Step(404, "GET", "/experiments/none/results"),
    Step(201, "POST", "/api-keys", {"id": "shop", "name": "Shop", "role": "editor", "scopes": ["ingest"]}),
    Step(400, "POST", "/api-keys", {"name": "Shop", "role": "king"}),
    Step(200, "POST", "/api-keys/shop/rotate", {"overlapMs": 60_000}),
    Step(200, "GET", "/api-keys/shop"),
    Step(200, "GET", "/api-keys"),
    Step(204, "DELETE", "/api-keys/shop"),
    Step(200, "GET", "/catalog/export"),
    Step(200, "GET", "/catalog/export?format=yaml"),
    Step(200, "POST", "/catalog/import?dryRun=true", {"offers": [{**_TIER}]}),
    Step(200, "POST", "/catalog/import", "offers: [{id: new, name: New, categoryId: music}]", _YAML),
    Step(400, "POST", "/catalog/import", {"offers": [{"id": "x"}], "nothing": []}),
    Step(200, "GET", "/audit?limit=5"),
    Step(400, "GET", "/audit?since=yesterday"),
    Step(200, "GET", "/topology"),
    Step(202, "DELETE", "/customers/ann", takes={"erasure": "erasureId"}),
    Step(200, "GET", "/erasures/{erasure}"),
    Step(404, "GET", "/erasures/none"),
    Step(401, "GET", "/offers", headers={"X-API-Key": "otk_wrong"}),
    Step(403, "GET", "/offers", headers={"X-Tenant-Id": "another"}),
    Step(403, "POST", "/offers", _TIER, {"X-API-Key": "{viewer}"}),
    Step(400, "GET", "/offers?limit=%zz"),
)


def filled(said: Any, names: Mapping[str, str]) -> Any:
    """A path, body or headers with the names in braces replaced."""
    if isinstance(said, Mapping):
        return {name: filled(value, names) for name, value in said.items()}
    if isinstance(said, str):
        for name, value in names.items():
            said = said.replace(f"{{{name}}}", value)
    return said
