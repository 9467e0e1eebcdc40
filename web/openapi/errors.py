"""The contract's errors as the document shows them: which codes a status has, and what each means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from web.access import Operation
from web.openapi.schemas import REFERENCE, Schema, Schemas

_RESPONSES = "#/components/responses/"


class _Error(NamedTuple):
    """A status: its component's name, and what each of its codes means."""

    name: str
    codes: dict[str, str]
    retry: bool = False


_ERRORS: dict[int, _Error] = {
    400: _Error("BadRequest", {"VALIDATION_ERROR": "`details` names every bad field."}),
    401: _Error("Unauthorized", {"UNAUTHORIZED": "No API key was sent, or one that does not hold."}),
    403: _Error("Forbidden", {"FORBIDDEN": "The key does not allow this, or another tenant is meant."}),
    404: _Error("NotFound", {"NOT_FOUND": "What the request names is not there."}),
    409: _Error("Conflict", {"CONFLICT": "What is there now stands against it; `error` says what."}),
    413: _Error("PayloadTooLarge", {"PAYLOAD_TOO_LARGE": "The body is larger than its limit."}),
    415: _Error("UnsupportedMediaType", {"UNSUPPORTED_MEDIA_TYPE": "The body is not of a type taken here."}),
    429: _Error(
        "TooManyRequests",
        {
            "RATE_LIMITED": "The tenant's calls of the last minute are used up.",
            "QUOTA_EXCEEDED": "The tenant's decisions of this UTC month are used up.",
        },
        retry=True,
    ),
    500: _Error("InternalError", {"INTERNAL_ERROR": "Something failed on the server's side."}),
    503: _Error(
        "Unavailable",
        {
            "NOT_READY": "A partition recovers or moves: nothing was done.",
            "OVERLOADED": "Too many requests are being served: nothing was done.",
            "PENDING": "The record is or may be durable, its effect was not seen in time: "
            "retry with the same idempotency key only.",
        },
        retry=True,
    ),
}

#: Of every call, of every call with a key, and of every call with a body.
_ALWAYS = (400, 500)
_KEYED = (401, 403, 429, 503)
_WITH_BODY = (413, 415)


def error_responses(operation: Operation, operational: bool, schemas: Schemas) -> dict[str, Any]:
    """The responses of an operation's errors, by status."""
    statuses = {*_ALWAYS, *operation.errors}
    if not operational:
        statuses.update(_KEYED)
    if operation.body is not None:
        statuses.update(_WITH_BODY)
    statuses -= operation.statuses.keys()
    return {str(status): _response(status, operation.error_answer, schemas) for status in sorted(statuses)}


def error_components() -> dict[str, Any]:
    """The responses that operations refer to, by name."""
    return {error.name: _described(status, _schema(error)) for status, error in _ERRORS.items()}


def _response(status: int, says_more: Any, schemas: Schemas) -> dict[str, Any]:
    error = _ERRORS[status]
    if says_more is None:
        return {"$ref": _RESPONSES + error.name}
    return _described(status, {"anyOf": [_schema(error), schemas.answer(says_more)]})


def _described(status: int, schema: Schema) -> dict[str, Any]:
    error = _ERRORS[status]
    headers = ("X-Request-Id", "Retry-After") if error.retry else ("X-Request-Id",)
    return {
        "description": "\n".join(f"- `{code}`: {meaning}" for code, meaning in error.codes.items()),
        "headers": header_references(headers),
        "content": {"application/json": {"schema": schema}},
    }


def _schema(error: _Error) -> Schema:
    code = {"enum": sorted(error.codes)}
    return {"allOf": [{"$ref": REFERENCE + "ErrorBody"}, {"properties": {"code": code}}]}


def header_references(names: Sequence[str]) -> dict[str, Any]:
    """References to the headers' components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "The request's own id, or the one it sent in this header.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:/+=-]{1,128}$"},
    },
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "ETag": {
        "description": 'The version of what is answered, as `If-Match` takes it: `"3"`.',
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The path of what was made.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
}
