"""What a request says of one entity: its document, and the version that the caller saw.

Rules:

1.  `createdAt`, `updatedAt` and `createdBy` are the server's: what is sent of them is not looked at, so that
    what was read can be sent back changed.
2.  The version may stand in `If-Match` or in the body's `version`; where both do, they must agree.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from app.decision.catalogue import load_entity, problems_beside
from app.decision.entities import KINDS, Entity
from app.decision.index import EntityIndex
from app.decision.loading import DEPTH_MAX
from app.decision.refusals import Problem
from tables.catalogue_document import SERVERS_WIRE
from tables.catalogue_edit import Draft
from web.body import read_object
from web.caller import Headers
from web.entity_operations import IF_MATCH
from web.errors import invalid

_VERSION_MAX = 2**53
#: As in `3`, `"3"` and `W/"3"`.
_VERSION = re.compile(r'(?:W/)?"([0-9]{1,16})"|([0-9]{1,16})')


def read_new(kind: str, body: bytes, headers: Headers, by: str, beside: EntityIndex) -> Draft:
    """The entity that a POST adds; `beside` are the tenant's entities as this worker knows them.

    Raises:
        ApiError: 400 with every bad field.
    """
    problems: list[Problem] = []
    if IF_MATCH in headers:
        problems.append(Problem(IF_MATCH, "means nothing here: there is no version of what is not there yet"))
    said = read_object(body, DEPTH_MAX)
    entity = _entity(kind, said, beside, problems)
    if problems or entity is None:
        raise invalid(problems)
    return Draft(kind=kind, entity=entity, by=by)


def read_replacement(
    kind: str, body: bytes, headers: Headers, by: str, beside: EntityIndex
) -> tuple[Draft, int | None]:
    """The entity that a PUT puts there, and the version it shall replace, None for any; `beside` as above.

    Raises:
        ApiError: 400 with every bad field.
    """
    problems: list[Problem] = []
    said = read_object(body, DEPTH_MAX)
    expected = _expected(headers, said, problems)
    has_key = "key" in said
    if not has_key and _needs_key(kind):
        # It keeps the key it has; until that is known, one stands in that is certainly right.
        said = {**said, "key": "key"}
    entity = _entity(kind, said, beside, problems)
    if problems or entity is None:
        raise invalid(problems)
    return Draft(kind=kind, entity=entity, has_key=has_key, by=by), expected


def read_expected(headers: Headers) -> int | None:
    """The version that a request without a body shall change, None for any.

    Raises:
        ApiError: 400 when it is none.
    """
    problems: list[Problem] = []
    expected = _expected(headers, {}, problems)
    if problems:
        raise invalid(problems)
    return expected


def etag(entity: Entity) -> str:
    """The entity's version as `If-Match` takes it."""
    return f'"{entity.version}"'


def _entity(kind: str, said: dict[str, Any], beside: EntityIndex, problems: list[Problem]) -> Entity | None:
    document = {name: value for name, value in said.items() if name not in SERVERS_WIRE}
    entity = load_entity(kind, document)
    if not isinstance(entity, list):
        return entity
    # What is planned on the present state is never wrong; this only has to tell all bad fields at once.
    told = dict.fromkeys((*entity, *problems_beside(kind, document, beside)))
    problems.extend(Problem(one.path, one.message) for one in told)
    return None


def _needs_key(kind: str) -> bool:
    return any(field.name == "key" and field.required for field in msgspec.structs.fields(KINDS[kind]))


def _expected(headers: Headers, said: dict[str, Any], problems: list[Problem]) -> int | None:
    in_header = _header_version(headers, problems)
    in_body = said.get("version")
    if "version" in said and (
        isinstance(in_body, bool) or not isinstance(in_body, int) or not 0 <= in_body <= _VERSION_MAX
    ):
        problems.append(Problem("version", "must be the whole number that was read"))
        return in_header
    if in_header is not None and in_body is not None and in_header != in_body:
        problems.append(Problem("version", f"differs from {IF_MATCH}, which says {in_header}"))
    return in_body if in_header is None else in_header


def _header_version(headers: Headers, problems: list[Problem]) -> int | None:
    said = set(headers.getall(IF_MATCH, ()))
    if not said or said == {"*"}:
        return None
    found = _VERSION.fullmatch(next(iter(said)).strip()) if len(said) == 1 else None
    if found is None:
        problems.append(Problem(IF_MATCH, 'must be one version, as in 3 or "3"'))
        return None
    return int(found[1] or found[2])
