"""GET /openapi.json, /asyncapi.json and /docs: who gets them, how long, and what the page may load."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.child import free_ports
from tests.web.harness import Client, Worker, running
from tests.web.keyed import KEYED
from web.docs import FILE_MAX_AGE_S

FILES = ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/favicon-32x32.png", "/docs/start.js")
DOCUMENTS = ("/openapi.json", "/asyncapi.json", "/docs")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client without a key, of a worker that wants one."""
    with running(tmp_path, **KEYED) as worker:
        async with worker.client() as made:
            yield made


@pytest.mark.parametrize("path", [*DOCUMENTS, *FILES])
async def test_it_needs_no_key_and_is_not_sent_again_to_who_has_it(client: Client, path: str) -> None:
    first = await client.get(path)
    assert first.status == 200
    assert await first.read()
    tag = first.headers["ETag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await client.get(path, headers={"If-None-Match": sent})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status == 200
    assert (await client.head(path)).status == 200


async def test_documents_are_asked_for_every_time_and_files_kept(client: Client) -> None:
    for path in (*DOCUMENTS, "/docs/start.js"):
        assert (await client.get(path)).headers["Cache-Control"] == "no-cache"
    for path in FILES[:-1]:
        assert (await client.get(path)).headers["Cache-Control"] == f"public, max-age={FILE_MAX_AGE_S}"


async def test_the_page_loads_from_here_alone(client: Client) -> None:
    page = await client.get("/docs")
    text = await page.text()
    named = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert set(named) == set(FILES)
    assert "://" not in text
    policy = dict(one.strip().split(" ", 1) for one in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not any("://" in one or "*" in one or "unsafe-eval" in one for one in policy.values())
    start = await (await client.get("/docs/start.js")).text()
    assert "validatorUrl: null" in start
    assert "://" not in start


@pytest.mark.parametrize(
    "path",
    [
        "/docs/swagger-ui.js",
        "/docs/index.html",
        "/docs/..%2fpyproject.toml",
        "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/docs/..%5c..%5cetc",
        "/docs/%00",
        "/docs/",
    ],
)
async def test_nothing_but_the_table_of_files_is_served(client: Client, path: str) -> None:
    response = await client.get(path)
    assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")


async def test_on_a_bind_of_their_own_the_page_shows_and_does_not_call(tmp_path: Path) -> None:
    with running(tmp_path, ops_port=free_ports(1)[0]) as worker:
        async with worker.client() as api:
            assert worker.operations is not None
            for path in (*DOCUMENTS, *FILES):
                assert (await api.get(path)).status == 404
                assert (await worker.operations.get(path)).status == 200
            start = await (await worker.operations.get("/docs/start.js")).text()
            assert "supportedSubmitMethods: []" in start
            document = await (await worker.operations.get("/openapi.json")).json()
            assert document["servers"] == [{"url": worker.settings.worker_url}]


async def test_the_worker_answers_them_before_it_is_ready(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.catalogue_ready = False
    async with worker.client() as client:
        for path in DOCUMENTS:
            assert (await client.get(path)).status == 200
