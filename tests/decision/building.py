"""Small catalogues and customers to decide with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from app.decision.catalogue import EntityKey, TenantCatalogue, check_tenant, compile_tenant, load_entity
from app.decision.decide import CustomerView, Decided, DecisionRequest, decide
from app.decision.entities import BehaviouralMetric, Entity
from app.decision.metrics import CompiledMetric, compile_metric
from app.decision.shared import NOTHING_SHARED, Shared
from app.decision.state import Contact
from app.decision.trace import CandidateTrace, FilterStage

NOW_MS = 1_800_000_000_000
Aggregate = Literal["count", "sum", "avg", "min", "max", "last", "distinct"]
Documents = Mapping[str, Sequence[Mapping[str, Any]]]

#: Two categories (one with a subcategory), two channels, a placement, three offers and a flow.
SHOP: dict[str, list[dict[str, Any]]] = {
    "categories": [
        {"id": "loans", "name": "Loans"},
        {"id": "home", "name": "Home loans", "parentId": "loans"},
        {"id": "cards", "name": "Cards"},
    ],
    "channels": [
        {"id": "mail", "name": "Mail", "type": "email", "impressionTracking": "implicit"},
        {"id": "site", "name": "Site", "type": "web"},
    ],
    "placements": [{"id": "hero", "name": "Hero", "channelId": "site", "maxSlots": 5}],
    "offers": [
        {"id": "card", "name": "Card", "categoryId": "cards", "priority": 90},
        {
            "id": "house",
            "name": "House",
            "categoryId": "loans",
            "subCategoryId": "home",
            "priority": 80,
        },
        {"id": "car", "name": "Car", "categoryId": "loans", "priority": 70},
    ],
    "creatives": [
        {"id": "card-mail", "name": "m", "offerId": "card", "channelId": "mail"},
        {"id": "house-mail", "name": "m", "offerId": "house", "channelId": "mail"},
        {"id": "car-mail", "name": "m", "offerId": "car", "channelId": "mail"},
        {"id": "card-site", "name": "s", "offerId": "card", "channelId": "site", "placementId": "hero"},
        {"id": "house-site", "name": "s", "offerId": "house", "channelId": "site"},
    ],
    "decision-flows": [{"id": "flow", "name": "Flow", "status": "active", "default": True}],
}


def loaded(documents: Documents) -> dict[EntityKey, Entity]:
    """The entities of some documents; fails on the first that is refused."""
    entities: dict[EntityKey, Entity] = {}
    for kind, bodies in documents.items():
        for body in bodies:
            entity = load_entity(kind, body)
            assert not isinstance(entity, list), (kind, body, entity)
            assert (kind, entity.id) not in entities
            entities[kind, entity.id] = entity
    return entities


def tenant(*several: Documents) -> TenantCatalogue:
    """The compiled catalogue of some documents, which must have no problem."""
    merged: dict[str, list[Mapping[str, Any]]] = {}
    for documents in several:
        for kind, bodies in documents.items():
            merged.setdefault(kind, []).extend(bodies)
    entities = loaded(merged)
    assert check_tenant("t", entities) == []
    return compile_tenant("t", entities)


def shop(**more: Any) -> TenantCatalogue:
    """The shop with more documents by kind (`contact_policies=[...]`), or others of the same id."""
    return tenant(merged(**more))


def decided(
    catalogue: TenantCatalogue,
    customer: CustomerView | None = None,
    now_ms: int = NOW_MS,
    shared: Shared = NOTHING_SHARED,
    **request: Any,
) -> Decided:
    """The default flow's decision; every test case is traced and untraced, and both must agree."""
    flow = catalogue.resolve_flow(None, None, None)
    assert flow is not None
    view = customer or CustomerView("ann")
    untraced = DecisionRequest(**{"limit": 10, **request, "trace": False})
    traced = DecisionRequest(**{"limit": 10, **request, "trace": True})
    ticks = iter(range(1_000))
    result = decide(flow, traced, view, now_ms, "salt", lambda: float(next(ticks)), shared)
    plain = decide(flow, untraced, view, now_ms, "salt", _no_probe, shared)
    assert plain.trace is None
    assert (plain.decisions, plain.removals) == (result.decisions, result.removals)
    assert (plain.total_candidates, plain.after_qualification, plain.after_contact_policy) == (
        result.total_candidates,
        result.after_qualification,
        result.after_contact_policy,
    )
    assert (plain.degraded, plain.control_group) == (result.degraded, result.control_group)
    return result


def _no_probe() -> float:
    raise AssertionError("a decision without a trace looked at the clock")


def flow(**fields: Any) -> list[dict[str, Any]]:
    """The shop's flow with other settings."""
    return [{"id": "flow", "name": "Flow", "status": "active", "default": True, **fields}]


def rule(kind: str, config: Mapping[str, Any], *scopes: Any, **more: Any) -> dict[str, Any]:
    """A qualification rule's document; its id is its kind, scopes are `("offer", "card")`."""
    named = [{"scope": scope, "id": entity_id} for scope, entity_id in scopes]
    return {"id": kind, "name": kind, "kind": kind, "config": config, "scopes": named, **more}


def segment(segment_id: str, filter_: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A segment's document."""
    return {"id": segment_id, "name": segment_id, "filter": filter_, **more}


def leaf(field: str, operator: str, *value: Any) -> dict[str, Any]:
    """A condition of one comparison."""
    return {"field": field, "operator": operator, **({"value": value[0]} if value else {})}


def refused(documents: Documents) -> list[str]:
    """The paths of everything wrong with some documents, each by itself or together."""
    entities: dict[EntityKey, Entity] = {}
    paths: list[str] = []
    for kind, bodies in documents.items():
        for body in bodies:
            entity = load_entity(kind, body)
            if isinstance(entity, list):
                paths.extend(problem.path for problem in entity)
            else:
                entities[kind, entity.id] = entity
    return paths or [problem.path for problem in check_tenant("t", entities)]


def merged(**more: Any) -> Documents:
    """The shop's documents with more by kind, or others of the same id."""
    documents: dict[str, list[Any]] = {kind: list(bodies) for kind, bodies in SHOP.items()}
    for name, bodies in more.items():
        kind = name.replace("_", "-")
        added = {body["id"] for body in bodies}
        kept = [body for body in documents.get(kind, []) if body["id"] not in added]
        documents[kind] = kept + list(bodies)
    return documents


def creatives(result: Decided) -> list[str]:
    """The creatives decided for, in order of rank."""
    return [decision.creative_id for decision in result.decisions]


def verdict(result: Decided, creative_id: str) -> CandidateTrace:
    """What became of a creative in a decision."""
    assert result.trace is not None
    stage = result.trace.stages[2]
    assert isinstance(stage, FilterStage)
    return next(one for one in stage.candidates if one.creative_id == creative_id)


def contact(age_ms: int, creative_id: str = "card-mail", placement_id: str | None = None) -> Contact:
    """A contact of the shop with a creative, so long before now."""
    offer_id, _, channel_id = creative_id.partition("-")
    category_id = "cards" if offer_id == "card" else "loans"
    return Contact(NOW_MS - age_ms, offer_id, creative_id, channel_id, category_id, placement_id)


def contacted(*contacts: Contact) -> CustomerView:
    """A customer of whom only contacts are known."""
    return CustomerView("ann", contacts=contacts)


def policy(kind: str, config: Mapping[str, Any], *scopes: Any, **more: Any) -> dict[str, Any]:
    """A contact policy's document; scopes are `("offer", "card")`."""
    named = [{"scope": scope, "id": entity_id} for scope, entity_id in scopes]
    return {"id": kind, "name": kind, "kind": kind, "config": config, "scopes": named, **more}


def metric(
    aggregate: Aggregate = "count",
    window_ms: int | None = None,
    field: tuple[str, ...] = (),
    condition: dict[str, Any] | None = None,
) -> CompiledMetric:
    """A compiled metric of purchases with key `m`."""
    return compile_metric(
        BehaviouralMetric(
            key="m",
            aggregate=aggregate,
            event_types=("purchase",),
            field=".".join(("data", *field)) if field else None,
            filter=condition,
            window_ms=window_ms,
        )
    )
