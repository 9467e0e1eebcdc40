"""The records of one change of a tenant: its entities, their audit entries, the marker that commits both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from app.decision.entities import Entity
from app.decision.index import EntityKey
from tables.audit_actor import Actor
from tables.audit_records import Circumstances, Event, encode_entry
from tables.catalogue_commit import Record
from tables.catalogue_document import plain_entity
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportPlan
from tables.catalogue_records import Marker, encode_entity, encode_marker, entity_key, marker_key

#: Names of fields that the audit trail never shows, wherever they stand; by kind.
_SECRETS = {"api-keys": frozenset({"digest"})}
#: What it shows instead.
HIDDEN = "(secret)"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Who orders a change, when, at which request, and why. `at` is UTC."""

    actor: Actor
    at: datetime
    request_id: str = ""
    reason: str = ""


class Change(msgspec.Struct, frozen=True):
    """What is written for a change: records of the catalogue, the marker last, and those of the audit."""

    import_id: str
    catalogue: list[Record]
    audit: list[Record]


def change_of(tenant_id: str, current: TenantLog, plan: ImportPlan, order: Order) -> Change:
    """The records that bring the tenant from `current` to what the plan says."""
    # Records without a marker are nobody's: ours must not commit them.
    left_over = {key: current.entities.get(key) for key in current.waiting if key not in plan.changes}
    changes = {**plan.changes, **left_over}
    return _change(tenant_id, current, changes, plan.total, list(_events(current, changes)), order)


def fact_of(tenant_id: str, current: TenantLog, action: str, subject: str, order: Order) -> Change:
    """The records of something that changes no entity."""
    left_over = {key: current.entities.get(key) for key in current.waiting}
    event = Event(action=action, subject=subject)
    return _change(tenant_id, current, left_over, len(current.entities), [event], order)


def _change(
    tenant_id: str,
    current: TenantLog,
    changes: dict[EntityKey, Entity | None],
    total: int,
    events: list[Event],
    order: Order,
) -> Change:
    import_id = uuid.uuid4().hex
    values = {
        key: None if entity is None else encode_entity(import_id, entity) for key, entity in changes.items()
    }
    circumstances = Circumstances(
        tenant_id=tenant_id,
        at=order.at,
        actor=order.actor,
        import_id=import_id,
        request_id=order.request_id,
        reason=order.reason,
    )
    head, audit = current.audit_head, list[Record]()
    for event in events:
        entry, head = encode_entry(event, circumstances, head)
        audit.append((tenant_id.encode(), entry))
    marker = Marker(
        import_id=import_id,
        count=sum(value is not None for value in values.values()),
        total=total,
        digest=current.digest_with(values),
        at=order.at,
        by=order.actor.name or order.actor.id,
        audit=head,
    )
    records: list[Record] = [(entity_key(tenant_id, key), value) for key, value in values.items()]
    return Change(import_id, [*records, (marker_key(tenant_id), encode_marker(marker))], audit)


def _events(current: TenantLog, changes: dict[EntityKey, Entity | None]) -> Iterator[Event]:
    for key, after in changes.items():
        before = current.entities.get(key)
        if before is after and key not in current.unreadable:
            continue  # written again, since a record without a marker stands over it
        kind, entity_id = key
        there = before is not None or key in current.unreadable
        yield Event(
            action="deleted" if after is None else "updated" if there else "created",
            kind=kind,
            subject=entity_id,
            version_before=None if before is None else before.version,
            version_after=None if after is None else after.version,
            before=None if before is None else _shown(kind, before),
            after=None if after is None else _shown(kind, after),
        )


def _shown(kind: str, entity: Entity) -> dict[str, Any]:
    """The entity's document without its secrets."""
    document, secrets = plain_entity(entity), _SECRETS.get(kind)
    return document if secrets is None else _hide(document, secrets)


def _hide(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: HIDDEN if name in secrets else _hide(held, secrets) for name, held in value.items()}
    return [_hide(held, secrets) for held in value] if isinstance(value, list) else value
