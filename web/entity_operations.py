"""Who may do what with each kind of entity, and the types that the API's document shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.decision.entities import DOCUMENT_KINDS, KINDS
from app.decision.entities.base import Status
from app.decision.shape import Shape
from web.access import LIMIT, NO_AREA, OFFSET, Area, Operation, Parameter, Role, areas

#: Kinds that only an admin may write.
ADMINS_KINDS = frozenset({"contact-policies", "tenant-settings"})
#: Kinds that a key narrowed to scopes may not write: it could widen itself.
UNSCOPED_KINDS = frozenset({"tenant-settings"})

IF_MATCH = "If-Match"
VERSION = Parameter(
    IF_MATCH, str, "The version that shall be changed; 409 when it is another.", place="header"
)
STATUS = Parameter("status", Status, "Only entities of this status.")
ARCHIVED = Parameter("includeArchived", bool, "List archived ones too.")


def plural(kind: str) -> str:
    """The name of a kind's list: `decisionFlows` for `decision-flows`."""
    first, *rest = kind.split("-")
    return first + "".join(word.capitalize() for word in rest)


def many_operations(kind: str) -> Mapping[str, Operation]:
    """What can be done with all entities of a kind."""
    return {
        "GET": Operation(
            f"List the tenant's {kind}, by id.",
            Role.VIEWER,
            areas("catalogue"),
            answer=_list_type(kind),
            parameters=(LIMIT, OFFSET, STATUS, ARCHIVED),
        ),
        "POST": Operation(
            f"Add one of the {kind}.",
            _writer(kind),
            _writers_areas(kind),
            body=KINDS[kind],
            answer=KINDS[kind],
            statuses={201: "Added; `Location` says where it is, `ETag` its version."},
            headers=("ETag", "Location"),
            errors=(409,),
        ),
    }


def one_operations(kind: str) -> Mapping[str, Operation]:
    """What can be done with one entity of a kind."""
    return {
        "GET": Operation(
            f"One of the {kind}, by id or key.",
            Role.VIEWER,
            areas("catalogue"),
            answer=KINDS[kind],
            errors=(404,),
            headers=("ETag",),
        ),
        "PUT": Operation(
            f"Replace one of the {kind}, by id or key.",
            _writer(kind),
            _writers_areas(kind),
            body=KINDS[kind],
            # An entity keeps the key it has.
            optional=("key",),
            answer=KINDS[kind],
            parameters=(VERSION,),
            errors=(404, 409),
            headers=("ETag",),
        ),
        "DELETE": Operation(
            f"Delete one of the {kind}, by id or key, unless another entity uses it.",
            Role.ADMIN,
            _writers_areas(kind),
            statuses={204: "Deleted."},
            parameters=(VERSION,),
            errors=(404, 409),
        ),
    }


def _writer(kind: str) -> Role:
    return Role.ADMIN if kind in ADMINS_KINDS else Role.EDITOR


def _writers_areas(kind: str) -> frozenset[Area]:
    return NO_AREA if kind in UNSCOPED_KINDS else areas("catalogue")


def _list_type(kind: str) -> type[msgspec.Struct]:
    name = plural(kind)
    fields = [(name, GenericAlias(list, (KINDS[kind],))), ("total", Annotated[int, Meta(ge=0)])]
    return msgspec.defstruct(f"{name[0].upper()}{name[1:]}List", fields, frozen=True)


def _document_type() -> type[msgspec.Struct]:
    """A whole catalogue: the tenant's id, and a list of each kind."""
    fields: list[tuple[str, Any, Any]] = [("tenant", str | None, None)]
    fields += [
        (kind.replace("-", "_"), GenericAlias(list, (cls,)), []) for kind, cls in DOCUMENT_KINDS.items()
    ]
    return msgspec.defstruct(
        "CatalogueDocument",
        fields,
        namespace={"shape": Shape(as_requested=True)},
        rename={kind.replace("-", "_"): kind for kind in DOCUMENT_KINDS},
        frozen=True,
    )


#: For the API's document only: documents are read by `tables.catalogue_document`.
CatalogueDocument = _document_type()

_FORMAT = Parameter("format", Literal["json", "yaml"], "Of the document; else as `Accept` says, JSON first.")
_DRY_RUN = Parameter("dryRun", bool, "Only tell what would change.")
_PRUNE = Parameter("prune", bool, "Delete what the document does not name.")


def export_operation(yaml: str) -> Operation:
    """Reading the whole catalogue."""
    return Operation(
        "The tenant's whole catalogue as one document.",
        Role.ADMIN,
        areas("catalogue"),
        answer=CatalogueDocument,
        answer_types=("application/json", yaml),
        parameters=(_FORMAT,),
    )


def import_operation(body_types: tuple[str, ...], answer: Any) -> Operation:
    """Writing the whole catalogue."""
    return Operation(
        "Make the tenant's catalogue say what a document says: all of it, or nothing.",
        Role.ADMIN,
        areas("catalogue"),
        body=CatalogueDocument,
        body_types=body_types,
        answer=answer,
        parameters=(_DRY_RUN, _PRUNE),
    )
