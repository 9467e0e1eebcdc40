"""Who may do what with the catalogue, by keys of each role and scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.decision.entities import ApiKey
from config.setting_types import Secret
from tables.api_keys import issue_key
from tests.web.catalogue_kinds import CASES
from tests.web.harness import TENANT, Client, running

PEPPER = "p" * 32
KEYS: Mapping[str, dict[str, Any]] = {
    "viewer": {"role": "viewer"},
    "editor": {"role": "editor"},
    "admin": {"role": "admin"},
    "narrowed": {"role": "admin", "scopes": ("catalogue",)},
    "elsewhere": {"role": "admin", "scopes": ("decide",)},
}
ADMINS = {"contact-policies", "tenant-settings"}


class Keys:
    """A worker that asks for keys, and one of each sort."""

    def __init__(self, client: Client, texts: Mapping[str, str]) -> None:
        self.client = client
        self._texts = texts

    async def call(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"X-API-Key": self._texts[who]}
        async with self.client.request(method, f"/api/v1{path}", json=body, headers=headers) as response:
            return response.status, await response.json() if await response.read() else None


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Keys]:
    with running(tmp_path, auth_mode="api_key", api_key_pepper=Secret(PEPPER)) as worker:
        texts = {}
        log = worker.desk._log._tenants.setdefault(TENANT, worker.desk._log.tenant(TENANT))
        for name, fields in KEYS.items():
            issued = issue_key(PEPPER)
            texts[name] = issued.text
            key = ApiKey(id=name, name=name.title(), credentials=(issued.credential,), **fields)
            log.entities["api-keys", name] = key
        # The desk's own snapshot, so that what it shows after a change still has them.
        worker.desk._snapshot = worker.desk._snapshot.with_changes(TENANT, log.entities, 1)
        worker.catalogue = worker.desk._snapshot
        async with worker.client() as client:
            yield Keys(client, texts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
async def test_each_kind_by_each_key(keys: Keys, case: Any) -> None:
    kind, path = case.kind, f"/{case.kind}/x1"
    for other, body in case.needs:
        assert (await keys.call("admin", "POST", f"/{other}", body))[0] == 201
    body = {"id": "x1", **case.least}
    writers = {"admin"} if kind in ADMINS else {"admin", "editor"}
    writers |= {"narrowed"} if kind != "tenant-settings" else set()
    for who in KEYS:
        status, made = await keys.call(who, "POST", f"/{kind}", body)
        assert status == (201 if who in writers else 403), (who, made)
        if status == 201:
            assert made["createdBy"] == f"key:{who}"
        status, _ = await keys.call(who, "PUT", path, case.least)
        assert status == (200 if who in writers else 403), who
        deleters = writers - {"editor"}
        status, _ = await keys.call(who, "DELETE", path)
        assert status in ((204, 404) if who in deleters else (403,)), who
        if who == "editor" and who in writers:
            assert (await keys.call("admin", "DELETE", path))[0] == 204
        for reading in (f"/{kind}", path):
            assert (await keys.call(who, "GET", reading))[0] in ((403,) if who == "elsewhere" else (200, 404))


async def test_documents_are_for_admins_and_settings_for_keys_without_scopes(keys: Keys) -> None:
    plain = {"categories": [{"id": "c", "name": "C"}]}
    settings = {"tenant-settings": [{"id": "s", "timeZone": "Europe/Rome"}]}
    for who in KEYS:
        may = who in ("admin", "narrowed")
        assert (await keys.call(who, "GET", "/catalog/export"))[0] == (200 if may else 403)
        assert (await keys.call(who, "POST", "/catalog/import", plain))[0] == (200 if may else 403)
        assert (await keys.call(who, "POST", "/catalog/import?dryRun=true", plain))[0] == (
            200 if may else 403
        )
    status, answer = await keys.call("narrowed", "POST", "/catalog/import", {**plain, **settings})
    assert (status, answer["code"]) == (403, "FORBIDDEN")
    assert (await keys.call("admin", "POST", "/catalog/import", settings))[0] == 200
    # What changes nothing of the settings is no change of them; pruning them is.
    assert (await keys.call("narrowed", "POST", "/catalog/import?prune=true", {**plain, **settings}))[
        0
    ] == 200
    assert (await keys.call("narrowed", "POST", "/catalog/import?prune=true", plain))[0] == 403
