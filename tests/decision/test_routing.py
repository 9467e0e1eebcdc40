"""Which flow a request goes to."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.catalogue import TenantCatalogue
from tests.decision.building import shop


def flow(flow_id: str, *routes: str, updated: int = 1, **fields: Any) -> dict[str, Any]:
    """An active flow; a route is `channel`, `channel/placement` or `/placement`."""
    named = []
    for one in routes:
        channel, _, placement = one.partition("/")
        named.append({"channelId": channel or None, "placementId": placement or None})
    return {
        "id": flow_id,
        "name": flow_id,
        "status": "active",
        "routes": named,
        "updatedAt": f"2026-01-{updated:02d}T00:00:00Z",
        **fields,
    }


def catalogue(*flows: dict[str, Any]) -> TenantCatalogue:
    """Two web channels, one mail channel, a placement on each web channel."""
    off = {"id": "flow", "name": "off", "status": "paused"}
    return shop(
        channels=[
            {"id": "mail", "key": "post", "name": "Mail", "type": "email"},
            {"id": "site", "name": "Site", "type": "web"},
            {"id": "shop", "name": "Shop", "type": "web"},
        ],
        placements=[
            {"id": "hero", "key": "top", "name": "Hero", "channelId": "site"},
            {"id": "till", "name": "Till", "channelId": "shop"},
        ],
        decision_flows=[off, *flows],
    )


BOTH, CHANNEL = flow("both", "site/hero"), flow("channel", "site")
DEFAULT = flow("default", default=True)
NEWEST = flow("newest", updated=9)


@pytest.mark.parametrize(
    ("flows", "channel", "placement", "wanted"),
    [
        # The more exact route, then the default, then the newest, then none.
        ([BOTH, CHANNEL, DEFAULT, NEWEST], "site", "hero", "both"),
        ([BOTH, CHANNEL, DEFAULT, NEWEST], "site", "top", "both"),
        ([BOTH, CHANNEL, DEFAULT, NEWEST], None, "hero", "both"),
        ([BOTH, CHANNEL, DEFAULT, NEWEST], "site", None, "channel"),
        ([BOTH, CHANNEL, DEFAULT, NEWEST], "mail", None, "default"),
        ([BOTH, CHANNEL, DEFAULT, NEWEST], "mail", "hero", "default"),
        ([BOTH, CHANNEL, DEFAULT, NEWEST], None, None, "default"),
        ([CHANNEL, DEFAULT, NEWEST], "site", "hero", "channel"),
        ([CHANNEL, DEFAULT, NEWEST], None, "hero", "channel"),
        ([BOTH, DEFAULT, NEWEST], "site", None, "default"),
        ([BOTH, DEFAULT, NEWEST], "site", "till", "default"),
        ([BOTH, NEWEST, CHANNEL], None, None, "newest"),
        ([BOTH, NEWEST, CHANNEL], "nowhere", "nothing", "newest"),
        ([], "site", "hero", None),
        # A route by placement alone is one for its channel and it.
        ([flow("place", "/hero"), CHANNEL, DEFAULT], "site", "hero", "place"),
        ([flow("place", "/hero"), CHANNEL, DEFAULT], "site", None, "channel"),
        # Keys are as good as ids; a type stands for each of its active channels.
        ([flow("post", "post"), DEFAULT], "mail", None, "post"),
        ([flow("post", "mail"), DEFAULT], "post", None, "post"),
        ([flow("post", "mail"), DEFAULT], "email", None, "post"),
        ([flow("of-shop", "shop"), DEFAULT], "web", None, "of-shop"),
        ([flow("of-site", "site"), flow("of-till", "shop/till"), DEFAULT], "web", "till", "of-till"),
        ([flow("of-shop", "shop"), flow("of-hero", "site/hero"), DEFAULT], "web", "hero", "of-hero"),
        # Between equals the one updated last, then the lower id.
        ([flow("a", "site", updated=2), flow("b", "site", updated=3)], "site", None, "b"),
        ([flow("b", "site", updated=3), flow("a", "site", updated=3)], "site", None, "a"),
        ([flow("a", default=True), flow("b", default=True, updated=2)], None, None, "b"),
        ([flow("b"), flow("a")], None, None, "a"),
        ([flow("a", "shop"), flow("b", "site", updated=3)], "web", None, "b"),
        ([flow("a", "shop", updated=3), flow("b", "site")], "web", None, "a"),
        # Only an active flow decides.
        ([{**BOTH, "status": "draft"}, DEFAULT], "site", "hero", "default"),
        ([{**DEFAULT, "status": "archived"}, NEWEST], None, None, "newest"),
    ],
)
def test_by_route(
    flows: list[dict[str, Any]], channel: str | None, placement: str | None, wanted: str | None
) -> None:
    for ordered in (flows, flows[::-1]):
        found = catalogue(*ordered).resolve_flow(None, channel, placement)
        assert (found.flow_id if found else None) == wanted


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [("both", "both"), ("k", "keyed"), ("keyed", "keyed"), ("off", None), ("flow", None), ("gone", None)],
)
def test_a_flow_that_is_named_is_that_flow_or_none(ref: str, wanted: str | None) -> None:
    tenant = catalogue(BOTH, DEFAULT, flow("keyed", key="k"), {**flow("off"), "status": "draft"})
    found = tenant.resolve_flow(ref, "site", "hero")
    assert (found.flow_id if found else None) == wanted
