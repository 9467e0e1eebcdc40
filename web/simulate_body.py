"""The body of simulate: recommend's, and what to change before deciding."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.decision.catalogue import TenantCatalogue
from app.decision.records import Instant, ProfileWrite, epoch_ms, profile_problems
from app.decision.refusals import Problem
from app.decision.state import Profile
from tables.catalogue_overrides import Override, apply_overrides, compile_for
from web.body import BodyType
from web.customer_body import ProfileBody
from web.recommend_body import PlacementBody, RecommendBody, Wanted, wanted_of

#: Documents of one kind, at most.
OVERRIDES_MAX = 200

#: The instants that a decision may be simulated for.
_FROM, _UNTIL = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Documents = Annotated[list[dict[str, Any]], Meta(max_length=OVERRIDES_MAX)]


class OverridesBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Documents over the catalogue, by kind. Unknown names are refused: a typo must not pass silently."""

    offers: Documents = []
    creatives: Documents = []
    contact_policies: Documents = []
    qualification_rules: Documents = []
    decision_flow: dict[str, Any] | None = None


class SimulateBody(RecommendBody, rename="camel"):
    """The request: recommend's fields; `now` is the instant to decide at, `customer` changes the profile."""

    overrides: OverridesBody | None = None
    now: Instant | None = None
    customer: ProfileBody | None = None


class Simulation(msgspec.Struct, frozen=True):
    """What to simulate. `catalogue` has the overrides; `now_ms` is None for now."""

    wanted: Wanted
    catalogue: TenantCatalogue
    now_ms: int | None
    customer: ProfileBody | None


_body = BodyType(SimulateBody)
_FLOW_PLACE = "overrides.decisionFlow"
_FIELDS = {field.name: field.encode_name for field in msgspec.structs.fields(OverridesBody)}
#: Kinds by their field, in the order of their problems.
_KINDS = {
    "offers": "offers",
    "creatives": "creatives",
    "contact_policies": "contact-policies",
    "qualification_rules": "qualification-rules",
}


def read_body(body: bytes) -> tuple[SimulateBody, list[Problem]]:
    """The fields that fit, and what is wrong with the others.

    Raises:
        ApiError: 400 when it is no JSON object at all.
    """
    return _body.read(body)


def read_simulation(read: SimulateBody, problems: list[Problem], catalogue: TenantCatalogue) -> Simulation:
    """What the request asks for, its overrides compiled; takes as long as compiling one flow.

    Raises:
        ApiError: 400 with every bad field.
    """
    if read.now is not None and not _FROM <= read.now < _UNTIL:
        problems.append(Problem("now", "must be after 1 January 1970 and before the year 2200"))
    if read.customer is not None:
        problems.extend(_profile_problems(read.customer))
    catalogue, flow = _overridden(read, catalogue, problems)
    wanted = wanted_of(read, problems, catalogue)
    request = msgspec.structs.replace(wanted.request, trace=True)
    wanted = msgspec.structs.replace(wanted, flow=flow or wanted.flow, request=request)
    return Simulation(wanted, catalogue, None if read.now is None else epoch_ms(read.now), read.customer)


def changed_profile(profile: Profile | None, change: ProfileBody) -> Profile:
    """The profile with what the simulation says: attributes merge, null removes one, the rest replaces."""
    known = profile or Profile()
    merged = {**known.attributes, **(change.attributes or {})}
    return msgspec.structs.replace(
        known,
        attributes={name: value for name, value in merged.items() if value is not None},
        tags=known.tags if change.tags is None else tuple(dict.fromkeys(change.tags)),
        consent={**known.consent, **(change.consent or {})},
        time_zone=change.time_zone or known.time_zone,
        locale=change.locale or known.locale,
    )


def _overridden(
    read: SimulateBody, catalogue: TenantCatalogue, problems: list[Problem]
) -> tuple[TenantCatalogue, str | None]:
    """The catalogue to decide with, and the flow that the overrides change; `problems` is added to.

    Only the flow that decides is compiled.
    """
    said = read.overrides
    if said is None or said == OverridesBody():
        return catalogue, None
    flow_id = _flow_meant(read, catalogue)
    overrides = [
        Override(kind, f"overrides.{_FIELDS[field]}[{i}]", document)
        for field, kind in _KINDS.items()
        for i, document in enumerate(getattr(said, field))
    ]
    if said.decision_flow is not None:
        overrides.append(Override("decision-flows", _FLOW_PLACE, _flow_document(said.decision_flow, flow_id)))
    found = apply_overrides(catalogue, overrides)
    if isinstance(found, list):
        problems.extend(Problem(one.path, one.message) for one in found)
        return catalogue, None
    changed = found.ids[-1] if said.decision_flow is not None else None
    if changed is not None and _named_flow(read) is not None and changed != flow_id:
        problems.append(Problem(f"{_FLOW_PLACE}.id", f"is {changed}, and the request names another flow"))
    return compile_for(catalogue.tenant_id, found.entities, changed or flow_id), changed


def _flow_document(document: dict[str, Any], flow_id: str | None) -> dict[str, Any]:
    """The flow's document: of the one that would decide if it names none, active unless it says otherwise."""
    named = {} if flow_id is None or "id" in document or "key" in document else {"id": flow_id}
    return {"status": "active", **named, **document}


def _named_flow(read: RecommendBody) -> str | None:
    return read.decision_flow_id or read.decision_flow_key or read.blueprint_key


def _flow_meant(read: RecommendBody, catalogue: TenantCatalogue) -> str | None:
    """The id of the flow that would decide, of any status where it is named; None when there is none."""
    named = _named_flow(read)
    if named is not None:
        return catalogue.id_of("decision-flows", named)
    first = read.placements[0] if read.placements else read.placement
    place = first.placement if isinstance(first, PlacementBody) else first
    found = catalogue.resolve_flow(None, read.channel_id or read.channel, place)
    return None if found is None else found.flow_id


def _profile_problems(change: ProfileBody) -> list[Problem]:
    write = ProfileWrite(tenant_id="", customer_id="", attributes=change.attributes, consent=change.consent)
    return [Problem(f"customer.{one.field}", one.message) for one in profile_problems(write)]
