"""One method of a path, as the document shows it: made from its `Operation`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from app.decision.records import CustomerId, Reference
from web.access import Operation, Parameter
from web.openapi.errors import error_responses, header_references
from web.openapi.schemas import Schema, Schemas
from web.view import PATH_PATTERN, ApiView

#: The types of variables in paths.
_VARIABLES: dict[str, tuple[Any, str]] = {
    "customerId": (CustomerId, "The customer."),
    "erasureId": (Reference, "The erasure, by the id that was answered."),
    "suppressionId": (Reference, "The suppression, by its id."),
    "traceId": (Reference, "The trace, by the id that was answered."),
    "experimentId": (Reference, "The experiment, by id or key."),
    "id": (Reference, "By id or key."),
    "asset": (str, "The file's name."),
}
_VARIABLE = re.compile(r"\{(\w+)\}")

#: Any of these lets a caller in.
SCHEMES = ("apiKey", "bearer", "sandboxTenant")

#: What operations are about, by the first part of their path below /api/v1; of the others, operations.
_TAGS: dict[str, str] = {
    "recommend": "Decisions",
    "simulate": "Decisions",
    "decision-traces": "Decisions",
    "respond": "Responses",
    "capture": "Responses",
    "events": "Events",
    "customers": "Customers",
    "erasures": "Customers",
    "api-keys": "Access",
    "audit": "Access",
    "tenant-settings": "Access",
    "topology": "Operations",
}
TAGS = ("Decisions", "Responses", "Events", "Customers", "Catalogue", "Access", "Operations")


def shown_path(view: type[ApiView]) -> str:
    """A view's path as the document writes it."""
    return PATH_PATTERN.sub("}", view.view_path)


def path_parameters(path: str, schemas: Schemas) -> list[dict[str, Any]]:
    """The variables of a path."""
    found = []
    for name in _VARIABLE.findall(path):
        kind, description = _VARIABLES[name]
        schema = schemas.request(kind)
        found.append(
            {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
        )
    return found


def shown_operation(view: type[ApiView], method: str, schemas: Schemas) -> dict[str, Any]:
    """A method of a view."""
    operation, path = view.operations[method], shown_path(view)
    shown: dict[str, Any] = {
        "operationId": _operation_id(method, path),
        "tags": [_tag(path)],
        "summary": operation.summary,
        **_access(operation, view.operational),
        "parameters": [_parameter(one, schemas) for one in operation.parameters],
        "responses": {
            **_successes(operation, schemas),
            **error_responses(operation, view.operational, schemas),
        },
    }
    if operation.body is not None:
        shown["requestBody"] = {"required": True, "content": _body(operation, schemas)}
    return shown


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix("/api/v1"))
    return method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def _tag(path: str) -> str:
    if not path.startswith("/api/v1/"):
        return "Operations"
    return _TAGS.get(path.split("/")[3], "Catalogue")


def _access(operation: Operation, operational: bool) -> dict[str, Any]:
    """Who may call it: in words, for machines, and as the document's own requirement."""
    if operational:
        return {"description": "Needs no key.", "security": []}
    role, scopes = operation.role.name.lower(), sorted(operation.areas)
    said = f"with the scope {' or '.join(scopes)}, or without any" if scopes else "without scopes"
    return {
        "description": f"Takes a key with the role {role} or above, {said}.",
        "x-required-role": role,
        "x-required-scopes": scopes,
        "security": [{scheme: [role]} for scheme in SCHEMES],
    }


def _parameter(parameter: Parameter, schemas: Schemas) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schemas.request(parameter.type),
    }


def _body(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.request(operation.body, operation.optional)
    content: dict[str, Any] = {}
    for kind in operation.body_types:
        content[kind] = {"schema": _lines(schema) if kind in LINES_TYPES else schema}
    return content


#: Bodies of lines, each a JSON value: a schema can only speak of the whole, which is text.
LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


def _lines(schema: Schema) -> Schema:
    return {
        "type": "string",
        "description": "One JSON object a line, each as `x-line-schema` says.",
        "x-line-schema": schema,
    }


def _successes(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    return {
        str(status): _success(operation, status, meaning, schemas)
        for status, meaning in sorted(operation.statuses.items())
    }


def _success(operation: Operation, status: int, meaning: str, schemas: Schemas) -> dict[str, Any]:
    headers: Sequence[str] = ("X-Request-Id", *_own_headers(operation, status))
    shown: dict[str, Any] = {"description": meaning, "headers": header_references(headers)}
    if operation.answer is not None and status not in (204, 304):
        schema = schemas.answer(operation.answer)
        shown["content"] = {kind: {"schema": schema} for kind in operation.answer_types}
    return shown


def _own_headers(operation: Operation, status: int) -> Sequence[str]:
    return ("Retry-After",) if status == 503 else operation.headers
