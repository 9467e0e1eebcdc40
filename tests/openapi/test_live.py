"""A whole worker held to its document: a tour of representative calls, then schemathesis: no 500, ever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis

from app.embedded import EmbeddedBroker
from tables.catalogue_document import Entry
from tables.catalogue_writer import CatalogueWriter
from tests.kafka.broker import Broker
from tests.openapi.fuzzing import Case, Failure, failures_of, ordered
from tests.openapi.tour import API, TOUR, filled
from tests.openapi.validating import answer_problems
from tests.web.keyed import KEYED, new_key
from tests.worker.harness import Client, running, settings_for
from tests.worker.shop import DOCUMENT, TENANT, import_shop
from web.caller import API_KEY
from web.entities import PREFIXES

pytestmark = [
    pytest.mark.embedded,
    # schemathesis' own affair; the examples are the same every time all the same.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
]

#: Requests of each operation; kinds of entities share their code, so theirs are fewer.
EXAMPLES, EXAMPLES_OF_KINDS = 10, 4

#: Headers that say who calls: these requests are all of one admin.
KEYS = (API_KEY, "Authorization", "X-Tenant-Id")
#: Fields of bodies and queries, with what is there; None leaves a field out.
FIELDS: Mapping[str, str | None] = {
    "customerId": "ann",
    "channelId": "web",
    "channel": "web",
    "placement": "hero",
    "placements": None,
    "decisionFlowId": "main",
    "decisionFlowKey": None,
    "blueprintKey": None,
    "maxOffers": None,
    "offerId": "offer-0",
    "creativeId": "web-0",
    "recommendationId": None,
    "traceId": None,
    "rank": None,
    "outcome": "click",
    "interactionType": "click",
    "outcomeType": "click",
    "idempotencyKey": "again",
    "timestamp": None,
    "Idempotency-Key": None,
    "categoryId": "music",
    "subCategoryId": None,
    "id": None,
    "version": None,
}


def kind_of(path: str) -> str:
    """The first part of a path below the API's root; empty for others."""
    return path.split("/")[3] if path.startswith("/api/v1/") else ""


def known_ids(path: str, ids: Mapping[str, str]) -> dict[str, str]:
    """Values for a path's variables that name something."""
    kind = kind_of(path)
    there = {"id": DOCUMENT[kind][0]["id"]} if DOCUMENT.get(kind) else {}
    if kind == "api-keys":
        there = {"id": "viewer-key"}
    return {**there, **{name: value for name, value in ids.items() if f"{{{name}}}" in path}}


async def ids_of(client: Client, key: str) -> dict[str, str]:
    """What a customer leaves behind that paths can name."""
    headers = {API_KEY: key}
    event = {"type": "purchase", "customerId": "ann", "data": {"amount": 2}}
    assert (await client.call("POST", "/api/v1/events/ingest", event, **headers))[0] == 200
    wanted = {"customerId": "ann", "trace": True, "limit": 3}
    status, answer = await client.call("POST", "/api/v1/recommend", wanted, **headers)
    assert status == 200, answer
    status, erased = await client.call("DELETE", "/api/v1/customers/gone", **headers)
    assert status == 202, erased
    return {"customerId": "ann", "traceId": answer["traceId"], "erasureId": erased["erasureId"]}


def walk(url: str, key: str, viewers_key: str) -> None:
    """Take the tour: every step has its status, and an answer as the document says."""
    names = {"viewer": viewers_key}
    for step in TOUR:
        body = filled(step.body, names)
        sent: dict[str, Any] = {"data": body} if isinstance(body, str) else {"json": body}
        headers = {API_KEY: key, **filled(step.headers, names)}
        if isinstance(body, str):
            headers.setdefault("Content-Type", "application/json")
        path = API + filled(step.path, names)
        answer = requests.request(step.method, url + path, headers=headers, timeout=60, **sent)
        assert answer.status_code == step.status, (step.method, path, answer.text)
        found = answer_problems(step.method, path, answer.status_code, answer.headers, answer.content)
        assert not found, (step.method, path, found, answer.text)
        names |= {name: answer.json()[field] for name, field in step.takes.items()}


def explore(url: str, key: str, ids: Mapping[str, str]) -> list[Failure]:
    """Every operation's failures."""
    document = requests.get(f"{url}/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    session = requests.Session()
    found: list[Failure] = []
    asked: set[tuple[str, str]] = set()

    def call(case: Case) -> schemathesis.Response:
        asked.add((case.method, case.path))
        for name in KEYS:
            case.headers.pop(name, None)
        return case.call(session=session, headers={API_KEY: key}, timeout=60)

    for operation in ordered(schema):
        examples = EXAMPLES_OF_KINDS if kind_of(operation.path) in PREFIXES else EXAMPLES
        found += failures_of(operation, call, known_ids(operation.path, ids), FIELDS, examples)
    assert len(asked) == sum(1 for _ in schema.get_all_operations())
    return found


async def test_every_answer_is_as_the_document_says(
    embedded_broker: EmbeddedBroker, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(embedded_broker.bootstrap, "embedded")
    settings = settings_for(broker, app_id, tmp_path, **KEYED)
    await import_shop(settings)
    (admin, key), (viewer, viewers) = new_key("admin", "root"), new_key("viewer")
    entries = [Entry("api-keys", "keys", admin), Entry("api-keys", "keys", viewer)]
    await CatalogueWriter(settings).import_tenant(TENANT, entries, by="test")
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        await client.ready()
        await asyncio.to_thread(walk, settings.worker_url, key, viewers)
        ids = await ids_of(client, key)
        failures = await asyncio.to_thread(explore, settings.worker_url, key, ids)
    assert not failures, "\n\n".join(f"{one.problem}\n{one.request}" for one in failures[:20])
