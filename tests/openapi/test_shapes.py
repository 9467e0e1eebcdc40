"""What Structs say beyond their types is what handlers check: required fields, aliases, unknown fields."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.decision.shape import Shape, shape_of
from tests.openapi.tour import API, TOUR
from tests.web.harness import HEADERS, Client
from web.event_batch import EventItem
from web.events import EventsView
from web.routes import VIEWS

BODIES: list[tuple[str, str, type[msgspec.Struct]]] = [
    (method, view.view_path, one.body)
    for view in VIEWS
    for method, one in view.operations.items()
    if isinstance(one.body, type) and one.body_types == ("application/json",)
]
NAMED = [(method, path, shape_of(body)) for method, path, body in BODIES if shape_of(body).required]
ALIASES = [
    (method, path, alias, canonical)
    for method, path, shape in NAMED
    for alias, canonical in shape.aliases.items()
]
#: Bodies in which a typo is an error.
STRICT = [
    (method, path, body) for method, path, body in BODIES if body.__struct_config__.forbid_unknown_fields
]


async def refused(client: Client, method: str, path: str, body: Any) -> set[str]:
    """The fields that a 400 names."""
    response = await client.request(method, path, json=body, headers=HEADERS)
    answer = await response.json()
    assert (response.status, answer["code"]) == (400, "VALIDATION_ERROR"), answer
    return {problem["field"] for problem in answer["details"]}


def test_the_tables_are_not_empty() -> None:
    assert {path.rpartition("/")[2] for _, path, _ in NAMED} == {
        "recommend",
        "respond",
        "capture",
        "ingest",
        "simulate",
    }
    assert len(ALIASES) >= 10
    assert len(STRICT) >= 28


@pytest.mark.parametrize(("method", "path", "shape"), NAMED, ids=[path for _, path, _ in NAMED])
async def test_what_is_required_is_asked_for_all_at_once(
    client: Client, method: str, path: str, shape: Shape
) -> None:
    named = await refused(client, method, path, {})
    assert set(shape.required) <= named
    assert all(named & set(group) for group in shape.any_of)
    assert named - set(shape.required) <= {name for group in shape.any_of for name in group}, (
        "or it is required"
    )


@pytest.mark.parametrize(("method", "path", "alias", "canonical"), ALIASES)
async def test_an_alias_with_another_value_is_refused(
    client: Client, method: str, path: str, alias: str, canonical: str
) -> None:
    value: tuple[Any, Any] = (2, 3) if canonical == "limit" else ("one", "two")
    body = {
        "customerId": "ann",
        "offerId": "vinyl",
        "idempotencyKey": "k",
        canonical: value[0],
        alias: value[1],
    }
    assert alias in await refused(client, method, path, body)
    body[alias] = value[0]
    response = await client.request(method, path, json=body, headers=HEADERS)
    if response.status == 400:
        assert alias not in {problem["field"] for problem in (await response.json())["details"]}


async def test_items_of_a_batch_need_what_they_say(client: Client) -> None:
    shape = shape_of(EventItem)
    sent: list[dict[str, str]] = [
        {},
        *({canonical: "a", alias: "b"} for alias, canonical in shape.aliases.items()),
    ]
    bad, *differing = await _results(client, sent)
    assert {problem["field"] for problem in bad["details"]} == set(shape.required)
    for alias, result in zip(shape.aliases, differing, strict=True):
        assert alias in {problem["field"] for problem in result["details"]}


async def _results(client: Client, items: list[dict[str, str]]) -> list[Any]:
    good = {"customerId": "ann", "eventType": "seen"}
    response = await client.post(EventsView.view_path, json={"events": [good, *items]}, headers=HEADERS)
    return list((await response.json())["results"])[1:]


@pytest.mark.parametrize(
    ("method", "path", "body"), STRICT, ids=[f"{method} {path}" for method, path, _ in STRICT]
)
async def test_a_typo_in_a_write_to_the_catalogue_is_refused(
    client: Client, method: str, path: str, body: type[msgspec.Struct]
) -> None:
    assert "typo" in await refused(client, method, path.replace("{id:[^/]+}", "x"), {"typo": 1})


async def test_the_servers_fields_are_not_looked_at(client: Client) -> None:
    said = {name: {"any": "thing"} for name in ("createdAt", "updatedAt", "createdBy")}
    for kind, body in (
        ("categories", {"name": "Books"}),
        ("outcome-types", {"key": "o", "classification": "neutral"}),
    ):
        response = await client.post(f"{API}/{kind}", json={**body, **said}, headers=HEADERS)
        assert response.status == 201, await response.text()


def test_the_tour_goes_everywhere() -> None:
    first = {step.path.partition("?")[0].split("/")[1] for step in TOUR}
    served = {view.view_path.split("/")[3] for view in VIEWS if view.view_path.startswith(API)}
    kinds = {"categories", "channels", "placements", "creatives", "behavioral-metrics", "segments", "models"}
    assert served - first <= kinds | {"qualification-rules", "tenant-settings"}
