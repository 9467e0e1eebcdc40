"""Whether an answer is what the OpenAPI document says of its path, method and status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from web.openapi.document import openapi_document
from web.routes import VIEWS

DOCUMENT: Mapping[str, Any] = json.loads(json.dumps(openapi_document(VIEWS, "/")))
_ROOT = "urn:openapi"
_VARIABLE = re.compile(r"\{\w+\}")


def closed(schema: Any) -> Any:
    """The schema with no fields but those it names: what a test sees must all be documented."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(one) for name, one in schema.items()}
    if "title" in shut and "properties" in shut and "additionalProperties" not in shut:
        shut["additionalProperties"] = False
    return shut


def _registry(document: Mapping[str, Any]) -> Any:
    resource: Any = Resource.from_contents(document, default_specification=DRAFT202012)
    return Registry().with_resource(_ROOT, resource)


_SHUT = closed(DOCUMENT)
_OPEN_REGISTRY, _SHUT_REGISTRY = _registry(DOCUMENT), _registry(_SHUT)


def resolved(said: Mapping[str, Any], document: Mapping[str, Any] = _SHUT) -> Mapping[str, Any]:
    """What a reference within the document refers to; anything else itself."""
    while "$ref" in said:
        found: Any = document
        for part in said["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        said = found
    return said


def problems(value: Any, schema: Mapping[str, Any], *, shut: bool = True) -> list[str]:
    """What is wrong with a value by a schema of the document; `shut` refuses fields that it does not name."""
    registry = _SHUT_REGISTRY if shut else _OPEN_REGISTRY
    validator = Draft202012Validator(_rooted(schema), registry=registry, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


def _rooted(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_rooted(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _ROOT + one if name == "$ref" and one.startswith("#") else _rooted(one)
        for name, one in schema.items()
    }


def path_of(url: str, method: str) -> str:
    """The document's path that a request's is, empty for none; one without variables goes first."""
    asked = url.partition("?")[0]
    fitting = [
        path
        for path, item in DOCUMENT["paths"].items()
        if method.lower() in item and re.fullmatch(_VARIABLE.sub("[^/]+", path), asked)
    ]
    return min(fitting, key=lambda path: path.count("{"), default="")


def answer_problems(method: str, url: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """Everything in which an answer is not what the document says."""
    operation = _SHUT["paths"][path_of(url, method)][method.lower()]
    if str(status) not in operation["responses"]:
        return [f"status {status} is not documented"]
    response = resolved(operation["responses"][str(status)])
    found = [f"header {name} is missing" for name in response["headers"] if name not in headers]
    content = response.get("content")
    if content is None:
        return found if not body else [*found, "there is a body"]
    kind = headers.get("Content-Type", "")
    if kind not in content:
        return [*found, f"the type {kind} is not documented"]
    if "json" not in kind:
        return found
    return found + problems(json.loads(body), content[kind]["schema"])
