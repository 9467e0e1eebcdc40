"""Who may do what: roles, areas, and what each method of each path is.

Rules:

1.  Every method of every path of the contract has an `Operation`; a worker whose view lacks one does not
    start. What needs no key says so by its view (`operational`).
2.  A key has a role; a role may all that a lower one may. A key's scopes narrow it to areas: a key without
    scopes may everything of its role, one with scopes only what lies in one of them. What lies in no area
    (keys, settings of the tenant) is for keys without scopes: a narrowed key cannot widen itself.
3.  The OpenAPI document is made from these, see `openapi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any, Literal

from msgspec import Meta

from web.errors import ApiError, forbidden


class Role(IntEnum):
    """What a key may, each including those before."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


#: The roles by the names that keys carry.
ROLES: Mapping[str, Role] = {role.name.lower(): role for role in Role}

#: What a key's scopes are of.
Area = Literal["decide", "respond", "ingest", "campaigns", "catalogue"]

ANY_AREA: frozenset[Area] = frozenset({"decide", "respond", "ingest", "campaigns", "catalogue"})
NO_AREA: frozenset[Area] = frozenset()


def areas(*names: Area) -> frozenset[Area]:
    """A set of areas."""
    return frozenset(names)


@dataclass(frozen=True)
class Parameter:
    """A query or header parameter: its name, type as msgspec reads it, and what it does in one line."""

    name: str
    type: Any
    description: str
    required: bool = False
    place: Literal["query", "header"] = "query"


#: Of lists.
LIMIT = Parameter("limit", Annotated[int, Meta(ge=1, le=200)], "Most entries to answer, 50 unless said.")
OFFSET = Parameter(
    "offset", Annotated[int, Meta(ge=0, le=1_000_000)], "Entries to leave out first, 0 unless said."
)


@dataclass(frozen=True)
class Operation:
    """One method of a path: who may call it, and what it takes and gives.

    Attributes:
        summary: One sentence.
        role: The lowest role that may call it.
        areas: A key with scopes needs one of these; none means that no key with scopes may.
        body: The Struct of the request's body; None without one.
        body_types: Media types of the body.
        optional: Fields that the body's type requires and this call does not.
        answer: The type of the answer's body; None when it has none.
        answer_types: Media types of the answer.
        statuses: Statuses of success, each with what it means.
        parameters: Query and header parameters.
        errors: Statuses of the contract's errors that can come beside those that every call can have.
        headers: Headers of the answers of success, beside those of every answer.
        error_answer: The type of an error's body that says more than the contract's.
    """

    summary: str
    role: Role
    areas: frozenset[Area]
    body: Any = None
    body_types: tuple[str, ...] = ("application/json",)
    optional: tuple[str, ...] = ()
    answer: Any = None
    answer_types: tuple[str, ...] = ("application/json",)
    statuses: Mapping[int, str] = field(default_factory=lambda: {200: "Done."})
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    error_answer: Any = None


def for_operators(summary: str, **fields: Any) -> Operation:
    """What needs no key, by a view that is `operational`; `fields` as in `Operation`."""
    return Operation(summary, Role.VIEWER, NO_AREA, **fields)


@dataclass(frozen=True)
class Caller:
    """Who calls, once that is known.

    `actor` names the caller in the audit trail; `key_id` is the id of its API key, None in sandbox mode.
    `forwarded` says that another worker of this application took the call first, and counted it;
    `body_digest` is then the SHA-256 of the body that it vouches for.
    """

    tenant_id: str
    role: Role
    scopes: frozenset[Area]
    actor: str
    key_id: str | None = None
    forwarded: bool = False
    body_digest: bytes | None = None


def check_access(caller: Caller, operation: Operation) -> None:
    """Raises ApiError, 403, when the caller's key may not do this."""
    if caller.role < operation.role:
        raise forbidden(f"This takes the role {operation.role.name.lower()} or above.")
    if caller.scopes and caller.scopes.isdisjoint(operation.areas):
        raise _outside(operation)


def _outside(operation: Operation) -> ApiError:
    if not operation.areas:
        return forbidden("This takes a key without scopes.")
    return forbidden(
        f"This takes a key with the scope {' or '.join(sorted(operation.areas))}, or without any."
    )
