"""A worker that knows callers by their keys, with the bank's catalogue, as clients outside see it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from app.provision import ensure_topics
from config.settings import Settings
from tables.catalogue_document import Entry, read_document
from tables.catalogue_writer import CatalogueWriter
from tests.contract.bank import CATALOGUE, TENANT
from tests.kafka.broker import Broker
from tests.web.keyed import KEYED, new_key
from tests.worker.harness import WorkerProcess, settings_for

ROLES = ("viewer", "editor", "admin")
_READY_S = 90.0


class Got(NamedTuple):
    """An answer: its status, its headers by lower-case name, and its JSON, or text when it is none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Service:
    """The running worker, and a key of each role."""

    def __init__(self, worker: WorkerProcess, keys: Mapping[str, str]) -> None:
        self.worker = worker
        self.url = worker.url
        self.keys = keys

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Got:
        """What a request gets; without a role it carries no key."""
        sent = {} if role is None else {"X-API-Key": self.keys[role]}
        response = requests.request(
            method,
            self.url + path,
            json=body,
            data=data,
            headers=sent | dict(headers or {}),
            timeout=30,
            allow_redirects=False,
        )
        text = response.text
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        found = json.loads(text) if is_json and text else text
        return Got(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}, found
        )

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The body of an answer that must be one of success."""
        got = self.call(method, path, body, **options)
        assert got.status < 300, got
        return got.body

    def wait_ready(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                if requests.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except requests.ConnectionError:
                pass
            assert time.monotonic() < deadline, self.worker.tail()
            time.sleep(0.1)


@contextmanager
def serving(broker: Broker, app_id: str, folder: Path, **settings: Any) -> Iterator[Service]:
    """A service, ready; its worker logs all it has to say."""
    worker = WorkerProcess(settings_for(broker, app_id, folder, **KEYED, **settings))
    made = {role: new_key(role) for role in ROLES}
    keys = [Entry("api-keys", "keys", key) for key, _ in made.values()]
    asyncio.run(_fill(worker.settings, keys))
    with worker:
        service = Service(worker, {role: text for role, (_, text) in made.items()})
        service.wait_ready()
        yield service


async def _fill(settings: Settings, keys: list[Entry]) -> None:
    await ensure_topics(settings)
    entries = read_document(json.dumps({"tenant": TENANT, **CATALOGUE}).encode()).entries
    await CatalogueWriter(settings).import_tenant(TENANT, [*entries, *keys], by="test")
