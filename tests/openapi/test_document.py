"""The OpenAPI document: valid, of the route table and nothing else, and as the code checks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.decision.shape import Shape, shape_of
from tests.openapi.validating import DOCUMENT, problems, resolved
from web.access import Operation
from web.openapi.document import openapi_json
from web.openapi.schemas import SameNameError, Schemas
from web.routes import VIEWS
from web.view import PATH_PATTERN

ROOT = Path(__file__).parents[2]

OPERATIONS: list[tuple[str, str, bool, Operation]] = [
    (method, PATH_PATTERN.sub("}", view.view_path), view.operational, operation)
    for view in VIEWS
    for method, operation in view.operations.items()
]
operations = pytest.mark.parametrize(
    ("method", "path", "operational", "operation"),
    OPERATIONS,
    ids=[f"{one[0]} {one[1]}" for one in OPERATIONS],
)


def shown(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(dict(DOCUMENT)).validate()


def test_every_route_and_method_is_in_it_and_nothing_else() -> None:
    inside = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    answered = {
        (method, PATH_PATTERN.sub("}", view.view_path))
        for view in VIEWS
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if method.lower()
        in {name for kind in view.__mro__[:-1] if kind.__module__.startswith("web.") for name in vars(kind)}
    }
    assert inside == answered
    assert len(inside) == len(OPERATIONS)


def test_operations_have_ids_of_their_own() -> None:
    ids = [shown(method, path)["operationId"] for method, path, _, _ in OPERATIONS]
    assert len(set(ids)) == len(ids)


@operations
def test_it_says_who_may_call(method: str, path: str, operational: bool, operation: Operation) -> None:
    found = shown(method, path)
    if operational:
        assert found["security"] == []
        return
    role = operation.role.name.lower()
    assert (found["x-required-role"], found["x-required-scopes"]) == (role, sorted(operation.areas))
    assert role in found["description"]
    assert {name for one in found["security"] for name in one} == set(
        DOCUMENT["components"]["securitySchemes"]
    )


@operations
def test_errors_have_the_contracts_body(
    method: str, path: str, operational: bool, operation: Operation
) -> None:
    for status, said in shown(method, path)["responses"].items():
        if int(status) < 400 or int(status) in operation.statuses:
            continue
        response = resolved(said, DOCUMENT)
        error = {"error": "e", "code": "NONE", "details": [], "requestId": "r"}
        assert problems(error, response["content"]["application/json"]["schema"]), "any code is taken"
        assert "X-Request-Id" in response["headers"]
        assert ("Retry-After" in response["headers"]) is (status in ("429", "503"))


def test_examples_are_what_they_show() -> None:
    shapes = {
        name: schema for name, schema in DOCUMENT["components"]["schemas"].items() if "examples" in schema
    }
    assert {"RecommendBody", "RespondBody", "IngestBody", "EventBatch", "ProfileBody"} <= shapes.keys()
    for name, schema in shapes.items():
        for example in schema["examples"]:
            assert not problems(example, {"$ref": f"#/components/schemas/{name}"}), name


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("RecommendBody", {}),
        ("RecommendBody", {"customerId": None}),
        ("RespondBody", {"customerId": "c", "offerId": "o"}),
        ("RespondBody", {"customerId": "c", "outcome": None, "offerId": "o"}),
        ("RespondBody", {"customerId": "c", "outcome": "click"}),
        ("IngestBody", {"customerId": "c", "type": "other"}),
        ("EventItem", {"customerId": "c"}),
        ("EventBatch", {"events": []}),
        ("ProfileBody", {"consent": {"email": "yes"}}),
        ("BulkLine", {"attributes": {}}),
        ("OfferFields", {"name": "n", "categoryId": "c", "typo": 1}),
        ("OutcomeTypeFields", {"classification": "positive"}),
    ],
)
def test_what_is_refused_is_refused_by_the_document(name: str, body: dict[str, Any]) -> None:
    assert problems(body, {"$ref": f"#/components/schemas/{name}"}, shut=False)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("RecommendBody", {"customerId": "c", "maxOffers": 3, "unknown": 1, "limit": None}),
        ("RespondBody", {"customerId": "c", "interactionType": "click", "traceId": "t", "offerId": "o"}),
        ("EventItem", {"customerId": "c", "type": "anything"}),
        ("OfferFields", {"name": "n", "categoryId": "c", "createdAt": "ignored"}),
        ("OutcomeTypeChange", {"classification": "positive"}),
    ],
)
def test_what_is_taken_is_taken_by_the_document(name: str, body: dict[str, Any]) -> None:
    assert not problems(body, {"$ref": f"#/components/schemas/{name}"}, shut=False)


def test_aliases_are_deprecated_and_name_the_field_to_use() -> None:
    fields = DOCUMENT["components"]["schemas"]["RecommendBody"]["properties"]
    assert fields["maxOffers"]["deprecated"]
    assert "`limit`" in fields["maxOffers"]["description"]
    assert "deprecated" not in fields["limit"]


def test_shapes_name_fields_that_there_are() -> None:
    kinds = [one.body for *_, one in OPERATIONS if isinstance(one.body, type)]
    for kind in [one for one in kinds if issubclass(one, msgspec.Struct)]:
        shape = shape_of(kind)
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        named = {*shape.required, *shape.aliases, *shape.aliases.values(), *shape.types}
        assert named | {name for group in shape.any_of for name in group} <= fields, kind


def test_two_structs_of_one_name_are_a_mistake() -> None:
    first = msgspec.defstruct("Same", [("a", int)])
    second = msgspec.defstruct("Same", [("b", int)])
    with pytest.raises(SameNameError):
        Schemas([first, second], [])


def test_a_field_of_json_has_the_type_that_its_shape_says() -> None:
    held = msgspec.defstruct("Held", [("a", int)])
    kind = msgspec.defstruct(
        "Holder",
        [("raw", msgspec.Raw)],
        namespace={"shape": Shape(types={"raw": list[held]})},  # type: ignore[valid-type]
    )
    components = Schemas([kind], []).components()
    assert components["Holder"]["properties"]["raw"]["items"] == {"$ref": "#/components/schemas/Held"}
    assert components["Held"]["required"] == ["a"]


@pytest.mark.parametrize(("module", "file"), [("document", "openapi.json"), ("topics", "asyncapi.json")])
def test_the_kept_copy_is_current(module: str, file: str) -> None:
    command = [sys.executable, "-m", f"web.openapi.{module}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = (ROOT / "docs" / file).read_text(encoding="utf-8")
    assert kept == made, f"run: python -m web.openapi.{module} > docs/{file}"


def test_it_is_made_once() -> None:
    assert openapi_json(VIEWS) is openapi_json(VIEWS)
