"""A tenant and records to fold into one customer, through the fold's public functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from app.decision.catalogue import CatalogSnapshot, TenantCatalogue
from app.decision.fold import Clock, Verdict, fold_decision, fold_event, fold_profile
from app.decision.ids import routed_id
from app.decision.records import (
    DecisionMade,
    Event,
    ProfileWrite,
    Response,
    Target,
    decode_decision,
    decode_event,
    decode_profile,
    decode_response,
)
from app.decision.responses import fold_response
from app.decision.state import Customer
from tests.decision.building import NOW_MS, shop

TENANT = "t"

Body = Event | DecisionMade | ProfileWrite | Response


def catalogue(**more: Any) -> TenantCatalogue:
    """The shop: `mail` counts at the decision, `site` reports impressions."""
    return shop(
        behavioral_metrics=[
            {
                "id": "n",
                "key": "n",
                "name": "n",
                "aggregate": "count",
                "eventTypes": ["view", "outcome.click"],
            }
        ],
        **more,
    )


class Folding:
    """One customer, and the clock of the batch in hand."""

    def __init__(self, tenant: TenantCatalogue | None = None, now_ms: int = NOW_MS, sources: int = 0) -> None:
        self.tenant = catalogue() if tenant is None else tenant
        self.customer = Customer(TENANT, "ann")
        self.now_ms = now_ms
        #: Records folded.
        self.sources = sources

    @property
    def clock(self) -> Clock:
        return Clock(self.now_ms, CatalogSnapshot(1, {TENANT: self.tenant}))

    def decision(self, number: int, **fields: Any) -> Verdict:
        return self.fold(decision(number, **{"atMs": self.now_ms, **fields}))

    def response(self, outcome: str = "impression", **fields: Any) -> Verdict:
        return self.fold(response(outcome, **fields))

    def profile(self, **fields: Any) -> Verdict:
        return self.fold(read(decode_profile, fields))

    def fold(self, body: Body) -> Verdict:
        self.sources += 1
        if isinstance(body, Event):
            return fold_event(self.customer, body, self.now_ms, self.clock)
        if isinstance(body, DecisionMade):
            return fold_decision(self.customer, body, self.clock)
        if isinstance(body, ProfileWrite):
            return fold_profile(self.customer, body, self.clock)
        source = f"responses/0/{self.sources}"
        return fold_response(self.customer, body, self.now_ms, self.clock, source)


def recommendation(number: int) -> str:
    return routed_id("rec", 0, NOW_MS, f"{number:08x}")


def decision(number: int, **fields: Any) -> DecisionMade:
    """A decision that shows the card at rank 1 and the house at rank 2, both on `site`."""
    body = {
        "recommendationId": recommendation(number),
        "decisionFlowId": "flow",
        "atMs": NOW_MS,
        "catalogueVersion": 1,
        "origin": "me",
        "sequence": number,
        "shown": [
            [1, "card", "card-site", "site", "cards", "hero", 0.5, "exp", "b", "model", [0.25]],
            [2, "house", "house-site", "site", "loans", None],
        ],
        **fields,
    }
    made = read(decode_decision, body)
    assert isinstance(made, DecisionMade)
    return made


def response(outcome: str, at_ms: int | None = None, **fields: Any) -> Response:
    """A response with a key of its own; to a recommendation by `to=(number, rank)`."""
    if "to" in fields:
        number, rank = fields.pop("to")
        fields |= {"recommendationId": recommendation(number), "rank": rank}
    if at_ms is not None:
        fields["timestamp"] = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    fields.setdefault("idempotencyKey", f"k{next(_keys)}")
    made = read(decode_response, {"outcome": outcome, **fields})
    assert isinstance(made, Response)
    return made


def event(**fields: Any) -> Event:
    made = read(decode_event, fields)
    assert isinstance(made, Event)
    return made


def read(decode: Any, fields: dict[str, Any]) -> Any:
    """The record as its decoder gives it."""
    return decode(msgspec.json.encode({"tenantId": TENANT, "customerId": "ann", **fields}))


def target(**fields: Any) -> Target:
    """What respond resolved of a response to the card on `site`."""
    return Target(
        **{
            "offer_id": "card",
            "creative_id": "card-site",
            "channel_id": "site",
            "category_id": "cards",
            "outcome": "impression",
            **fields,
        }
    )


_keys = iter(range(1_000_000_000))
