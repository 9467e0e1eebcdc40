"""Whole catalogues over HTTP: exported, imported, compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.decision.validation import load_entity
from tables.catalogue_commit import CatalogueConflictError, CatalogueTooLargeError, CatalogueWriteError
from tables.catalogue_desk import DeskFullError, DeskUnseenError
from tables.catalogue_topic import CatalogueReadError
from tests.web.catalogue_kinds import CASES
from tests.web.harness import HEADERS, TENANT, Client, Worker
from tests.web.test_catalogue import call
from web.catalogue_documents import IMPORTS_MAX

IMPORT, EXPORT = "/api/v1/catalog/import", "/api/v1/catalog/export"
SAMPLE = Path(__file__).parents[2] / "config" / "samples" / "music-shop.yaml"
RIVAL = {"X-Tenant-Id": "rival"}


def everything() -> dict[str, Any]:
    """A document with one of each kind, and what they need."""
    document: dict[str, dict[str, Any]] = {}
    for case in CASES:
        for kind, body in (*case.needs, (case.kind, {"id": f"{case.kind}-x", **case.least, **case.changed})):
            document.setdefault(kind, {})[body["id"]] = body
    return {kind: list(bodies.values()) for kind, bodies in document.items()}


async def send(client: Client, document: object, query: str = "", **headers: str) -> tuple[int, Any]:
    data = document if isinstance(document, bytes | str | AsyncIterator) else json.dumps(document)
    sent = {**HEADERS, "Content-Type": "application/json", **headers}
    async with client.post(f"{IMPORT}?{query}", data=data, headers=sent) as response:
        return response.status, await response.json()


async def exported(client: Client, query: str = "", **headers: str) -> tuple[str, str]:
    """The media type and the text."""
    async with client.get(f"{EXPORT}?{query}", headers={**HEADERS, **headers}) as response:
        assert response.status == 200, await response.text()
        return response.content_type, await response.text()


async def test_a_document_comes_back_and_changes_another_tenant_into_the_same(
    worker: Worker, client: Client
) -> None:
    status, diff = await send(client, everything())
    assert status == 200, diff
    assert len(diff["created"]) == sum(map(len, everything().values()))
    assert (diff["updated"], diff["deleted"], diff["unchanged"]) == ([], [], [])
    assert diff["version"] == worker.catalogue.version
    kind, text = await exported(client)
    document = json.loads(text)
    assert (kind, document.pop("tenant")) == ("application/json", TENANT)
    assert set(document) == {case.kind for case in CASES}
    status, _ = await send(client, document, **RIVAL)
    assert status == 200
    assert json.loads((await exported(client, **RIVAL))[1]) == {"tenant": "rival", **document}


async def test_the_same_document_again_changes_nothing(worker: Worker, client: Client) -> None:
    await send(client, everything())
    before = worker.catalogue
    for text in ((await exported(client))[1], (await exported(client, "format=yaml"))[1]):
        for query in ("", "prune=true", "dryRun=true&prune=true"):
            kind = "application/json" if text.startswith("{") else "application/yaml"
            status, diff = await send(client, text, query, **{"Content-Type": kind})
            assert status == 200, diff
            assert (diff["created"], diff["updated"], diff["deleted"]) == ([], [], [])
            assert diff["version"] is None
    assert worker.catalogue is before


async def test_the_sample_is_taken_as_yaml(client: Client) -> None:
    text = SAMPLE.read_text().replace("tenant: demo", f"tenant: {TENANT}")
    status, diff = await send(client, text, **{"Content-Type": "application/yaml"})
    assert (status, len(diff["created"])) == (200, 72)
    kind, back = await exported(client, Accept="application/yaml")
    assert kind == "application/yaml"
    assert yaml.safe_load(back)["tenant"] == TENANT
    for accept in ("*/*", "application/yaml, application/json", ""):
        assert (await exported(client, Accept=accept))[0] == "application/json"


async def test_a_dry_run_says_which_fields_change_and_changes_nothing(worker: Worker, client: Client) -> None:
    rule = {"scope": "channel", "id": "web"}
    before = {
        "channels": [{"id": "web", "name": "Web", "type": "web"}],
        "categories": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}],
        "contact-policies": [
            {"id": "p", "name": "P", "kind": "frequency_cap", "config": {"perDay": 1}, "scopes": [rule]}
        ],
    }
    after = {
        "channels": before["channels"],
        "categories": [{"id": "a", "name": "A!", "description": "First"}, {"id": "c", "name": "C"}],
        "contact-policies": [{"id": "p", "name": "P", "kind": "frequency_cap", "config": {"perWeek": 3}}],
    }
    await send(client, before)
    seen = worker.catalogue
    status, diff = await send(client, after, "dryRun=true&prune=true")
    assert (status, diff["dryRun"], diff["version"]) == (200, True, None)
    assert diff["created"] == [{"kind": "categories", "id": "c"}]
    assert diff["deleted"] == [{"kind": "categories", "id": "b"}]
    assert diff["unchanged"] == [{"kind": "channels", "id": "web"}]
    assert diff["updated"] == [
        {
            "kind": "categories",
            "id": "a",
            "changes": [
                {"path": "name", "before": "A", "after": "A!"},
                {"path": "description", "before": "", "after": "First"},
            ],
        },
        {
            "kind": "contact-policies",
            "id": "p",
            "changes": [
                {"path": "scopes[0]", "before": rule},
                {"path": "config.perDay", "before": 1},
                {"path": "config.perWeek", "after": 3},
            ],
        },
    ]
    assert worker.catalogue is seen
    status, done = await send(client, after, "prune=true")
    assert {**done, "version": None, "dryRun": True} == diff
    assert worker.catalogue.version == done["version"]


async def test_what_is_not_named_stays_without_prune(client: Client) -> None:
    await send(client, {"categories": [{"id": "a", "name": "A"}]})
    status, diff = await send(client, {"categories": [{"id": "b", "name": "B"}]})
    assert (status, diff["deleted"]) == (200, [])
    assert (await call(client, "GET", "/categories"))[1]["total"] == 2


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        (
            {
                "categories": [{"id": "a", "name": "A"}],
                "offers": [
                    {"id": "o", "nme": "O"},
                    {"id": "p", "name": "P", "categoryId": "a", "weight": -1},
                ],
                "policies": [],
            },
            {"offers[0].nme", "offers[0].name", "offers[0].categoryId", "offers[1].weight", "policies"},
        ),
        (
            # References of what is right are told beside what is wrong, but those to it.
            {
                "categories": [{"id": "wrong", "nme": "A"}, {"key": "as-key"}],
                "offers": [
                    {"id": "o", "name": "O", "categoryId": "gone"},
                    {"id": "p", "name": "P", "categoryId": "wrong"},
                    {"id": "q", "name": "Q", "categoryId": "as-key"},
                    {"id": "r", "name": "R", "categoryId": "cat"},
                ],
            },
            {"categories[0].nme", "categories[0].name", "categories[1].name", "offers[0].categoryId"},
        ),
        ({"offers": [{"id": "o", "name": "O", "categoryId": "gone"}]}, {"offers[0].categoryId"}),
        ({"tenant": "rival", "categories": []}, {"tenant"}),
        ({"tenant": 7}, {"tenant"}),
        ({"api-keys": []}, {"api-keys"}),
        ([], {""}),
        ("categories: [{id: a, name: A}]", {""}),
    ],
)
async def test_a_bad_document_is_refused_whole(
    worker: Worker, client: Client, document: object, fields: set[str]
) -> None:
    before = worker.catalogue
    for query in ("", "dryRun=true"):
        status, answer = await send(client, document, query)
        assert (status, answer["code"]) == (400, "VALIDATION_ERROR")
        assert {one["field"] for one in answer["details"]} == fields
    assert worker.catalogue is before


async def test_other_types_flags_and_formats_are_refused(client: Client) -> None:
    assert (await send(client, "a,b", **{"Content-Type": "text/csv"}))[0] == 415
    status, answer = await send(client, {}, "dryRun=yes&prune=1")
    assert (status, [one["field"] for one in answer["details"]]) == (400, ["dryRun", "prune"])
    async with client.get(f"{EXPORT}?format=csv", headers=HEADERS) as response:
        assert (response.status, (await response.json())["details"][0]["field"]) == (400, "format")


async def test_a_document_may_be_larger_than_other_bodies(client: Client) -> None:
    categories = [{"id": f"c{n}", "name": "C" * 200} for n in range(2_000)]
    assert (await send(client, {"categories": categories}))[0] == 200
    status, answer = await send(client, b" " * (16 * 1024 * 1024 + 1))
    assert (status, answer["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_only_so_many_are_read_at_once(client: Client) -> None:
    go = asyncio.Event()
    begun = asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        begun.release()
        await go.wait()
        yield b"}"

    first = [
        asyncio.create_task(
            client.post(IMPORT, data=slow(), headers={**HEADERS, "Content-Type": "application/json"})
        )
        for _ in range(IMPORTS_MAX)
    ]
    for _ in first:
        await begun.acquire()
    async with asyncio.timeout(20):
        while (refused := await send(client, slow()))[0] == 200:
            pass  # the first two have not been counted yet
    assert (refused[0], refused[1]["code"]) == (503, "OVERLOADED")
    # What is not there yet keeps nobody from reading.
    assert (await send(client, {}))[0] == 200
    go.set()
    for response in await asyncio.gather(*first):
        assert response.status == 200
    assert (await send(client, {}))[0] == 200


async def test_api_keys_are_neither_exported_nor_pruned(worker: Worker, client: Client) -> None:
    key = load_entity("api-keys", {"id": "k", "name": "K", "role": "admin"})
    assert not isinstance(key, list)
    await send(client, {"categories": [{"id": "a", "name": "A"}]})
    worker.desk._log.tenant(TENANT).entities["api-keys", "k"] = key
    worker.catalogue = worker.catalogue.with_changes(TENANT, {("api-keys", "k"): key}, 99)
    assert "api-keys" not in json.loads((await exported(client))[1])
    status, diff = await send(client, {}, "prune=true")
    assert (status, diff["deleted"]) == (200, [{"kind": "categories", "id": "a"}])
    assert ("api-keys", "k") in worker.desk._log.tenant(TENANT).entities


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DeskFullError(), "OVERLOADED"),
        (CatalogueReadError("away"), "NOT_READY"),
        (CatalogueConflictError("another", certain=True), "NOT_READY"),
        (CatalogueWriteError("lost", certain=True), "NOT_READY"),
        (CatalogueWriteError("lost", certain=False), "PENDING"),
        (DeskUnseenError("late"), "PENDING"),
    ],
)
async def test_what_the_desk_cannot_do_is_503(
    worker: Worker, client: Client, failure: Exception, code: str
) -> None:
    requests: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/categories", {"name": "C"}),
        ("PUT", "/categories/c", {"name": "C"}),
        ("DELETE", "/categories/c", None),
        ("POST", "/catalog/import", {}),
    )
    for method, path, body in requests:
        worker.desk.failure = failure
        status, answer, headers = await call(client, method, path, body)
        assert (status, answer["code"], headers["Retry-After"]) == (503, code, "1")


async def test_what_the_brokers_do_not_take_is_too_large(worker: Worker, client: Client) -> None:
    worker.desk.failure = CatalogueTooLargeError("too large", certain=True)
    status, answer = await send(client, {})
    assert (status, answer["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_writes_go_to_the_owner_of_the_writing_partition(worker: Worker, client: Client) -> None:
    worker.partitions.release(0, "moved")
    status, answer, _ = await call(client, "POST", "/categories", {"name": "C"})
    assert (status, answer["code"]) == (503, "NOT_READY")
    assert (await call(client, "GET", "/categories"))[0] == 200
    assert (await send(client, {}, "dryRun=true"))[0] == 200
