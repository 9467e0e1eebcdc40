"""The OpenAPI 3.1 document of the API, from the route table and the types that its views declare.

`python -m web.openapi.document > docs/openapi.json` writes the copy that is kept with the project.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from web.access import Operation
from web.errors import ErrorBody
from web.openapi.errors import HEADERS, error_components
from web.openapi.operations import TAGS, path_parameters, shown_operation, shown_path
from web.openapi.schemas import Schemas
from web.view import ApiView

_ABOUT = """\
Real-time next-best-action decisions on Kafka.

JSON in, JSON out, UTF-8. Unknown fields of requests are ignored, in writes to the catalogue they are an
error. Fields marked deprecated are further names of others, accepted for ever; two names with different
values are an error. Numbers out of range are an error, never clamped, and all bad fields are named at once.
`HEAD` is answered wherever `GET` is. A path or method that is not here is 404 or 405, with the same body as
every error.
"""

_SCHEMES = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key. It belongs to one tenant and has one role; scopes may narrow it. "
        "`X-Tenant-Id` is optional beside it, and must be its tenant.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key as a bearer token."},
    "sandboxTenant": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Tenant-Id",
        "description": "In sandbox mode only, as the demo runs: the tenant's id alone; it may do everything.",
    },
}


@functools.lru_cache(maxsize=4)
def openapi_json(views: tuple[type[ApiView], ...], server_url: str = "/") -> bytes:
    """The document's JSON. `server_url` is where the API is, seen from the document."""
    return msgspec.json.encode(openapi_document(views, server_url))


def openapi_document(views: Sequence[type[ApiView]], server_url: str) -> dict[str, Any]:
    """The document of all paths that these views answer."""
    operations = [one for view in views for one in view.operations.values()]
    schemas = Schemas(_answers(operations), _requests(operations))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Offertide",
            "version": version("offertide"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server_url}],
        "tags": [{"name": name} for name in TAGS],
        "paths": _paths(views, schemas),
        "components": {
            "securitySchemes": _SCHEMES,
            "headers": HEADERS,
            "responses": error_components(),
            "schemas": schemas.components(),
        },
    }


def _paths(views: Sequence[type[ApiView]], schemas: Schemas) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for view in views:
        path = shown_path(view)
        methods = {method.lower(): shown_operation(view, method, schemas) for method in view.operations}
        if methods:
            paths[path] = {"parameters": path_parameters(path, schemas), **methods}
    return paths


def _answers(operations: Sequence[Operation]) -> list[Any]:
    said = [kind for one in operations for kind in (one.answer, one.error_answer) if kind is not None]
    return [ErrorBody, *said]


def _requests(operations: Sequence[Operation]) -> list[Any]:
    return [one.body for one in operations if one.body is not None]


if __name__ == "__main__":
    from web.routes import VIEWS

    print(msgspec.json.format(openapi_json(VIEWS), indent=1).decode())
