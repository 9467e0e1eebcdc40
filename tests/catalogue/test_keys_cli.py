"""`offertide keys`, run as people run it, and the keys it makes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.commands.key_records import ATTEMPTS, until_alone
from app.decision.catalogue import CatalogSnapshot, HeldKey
from config.settings import Settings
from tables.api_keys import is_key_of, key_digest, public_part
from tables.catalogue_commit import CatalogueConflictError
from tables.catalogue_topic import read_to_now
from tests.catalogue.building import settings_for
from tests.catalogue.test_cli import run
from tests.catalogue.test_desk import LATER, UNREADABLE
from tests.catalogue.test_import import put
from tests.kafka.broker import Broker

PEPPER = "a pepper for tests, long enough: 32"


@pytest.fixture
def fresh(broker: Broker, app_id: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An application without a topic; the program finds the pepper in its environment."""
    monkeypatch.setenv("API_KEY_PEPPER", PEPPER)
    return settings_for(broker, app_id)


def held(settings: Settings, tenant: str) -> dict[str, HeldKey]:
    """The tenant's keys as workers know them, by id."""
    entities = asyncio.run(read_to_now(settings)).tenant(tenant).entities
    snapshot = CatalogSnapshot().with_changes(tenant, dict(entities), 1)
    return {one.key.id: one for found in snapshot.api_keys.values() for one in found}


def opens(settings: Settings, tenant: str, text: str) -> bool:
    """Whether a worker would take this key."""
    digest = key_digest(text, PEPPER)
    return any(
        one.credential.lookup == public_part(text) and is_key_of(digest, one.credential)
        for one in held(settings, tenant).values()
    )


def made(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """The id and the key that a run made."""
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    return body["id"], body["key"]


def test_a_key_is_made_listed_rotated_and_revoked(fresh: Settings) -> None:
    first = run(fresh, "keys", "create", "--tenant", "acme", "--role", "admin")
    assert (first.returncode, first.stdout.startswith("otk_")) == (0, True)
    assert "shown once" in first.stderr
    assert opens(fresh, "acme", first.stdout.strip())
    narrow = ("--role", "editor", "--scope", "respond", "--scope", "ingest", "--expires-in", "90d")
    key_id, key = made(run(fresh, "keys", "create", "--tenant", "acme", "--json", *narrow))
    entity = held(fresh, "acme")[key_id].key
    assert (entity.role, entity.scopes) == ("editor", ("respond", "ingest"))
    assert entity.expires_at is not None
    listed = json.loads(run(fresh, "keys", "list", "--tenant", "acme", "--json").stdout)["apiKeys"]
    assert [one["role"] for one in listed].count("editor") == len(listed) - 1 == 1
    assert "credentials" not in listed[0]
    assert key not in run(fresh, "keys", "list", "--tenant", "acme").stdout
    _, replaced = made(run(fresh, "keys", "rotate", key_id, "--tenant", "acme", "--overlap", "0", "--json"))
    assert (opens(fresh, "acme", key), opens(fresh, "acme", replaced)) == (False, True)
    assert run(fresh, "keys", "revoke", key_id, "--tenant", "acme").stdout == f"{key_id} is revoked\n"
    assert not opens(fresh, "acme", replaced)
    again = run(fresh, "keys", "rotate", key_id, "--tenant", "acme")
    assert (again.returncode, "archived" in again.stderr) == (2, True)


def test_keys_made_at_once_are_all_made(fresh: Settings) -> None:
    tenants = ("one", "two", "three")
    with ThreadPoolExecutor(len(tenants)) as pool:
        done = list(
            pool.map(lambda name: run(fresh, "keys", "create", "--tenant", name, "--role", "admin"), tenants)
        )
    assert [one.returncode for one in done] == [0] * len(tenants), [one.stderr for one in done]
    for name, one in zip(tenants, done, strict=True):
        assert opens(fresh, name, one.stdout.strip())


@pytest.mark.parametrize(
    ("conflicts", "certain", "tries", "done"),
    [(0, True, 1, True), (1, True, 2, True), (99, True, ATTEMPTS, False), (1, False, 1, False)],
)
async def test_a_change_that_another_cuts_off_is_tried_again_a_few_times(
    monkeypatch: pytest.MonkeyPatch, conflicts: int, certain: bool, tries: int, done: bool
) -> None:
    monkeypatch.setattr("app.commands.key_records._PAUSE_S", 0.0)
    tried = 0

    async def work() -> None:
        nonlocal tried
        tried += 1
        if tried <= conflicts:
            raise CatalogueConflictError("another", certain=certain)

    with contextlib.nullcontext() if done else pytest.raises(CatalogueConflictError):
        await until_alone(work)
    assert tried == tries


def test_the_first_key_is_made_once(fresh: Settings, tmp_path: Path) -> None:
    file = tmp_path / "key"
    arguments = ("keys", "create", "--tenant", "demo", "--role", "admin", "--if-none", "--output", str(file))
    assert run(fresh, *arguments).returncode == 0
    text = file.read_text().strip()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert opens(fresh, "demo", text)
    again = run(fresh, *arguments)
    assert (again.returncode, again.stdout) == (0, "demo has a key already; nothing was made\n")
    assert (file.read_text().strip(), len(held(fresh, "demo"))) == (text, 1)


def test_a_key_that_cannot_be_kept_is_not_made(fresh: Settings, tmp_path: Path) -> None:
    arguments = ("keys", "create", "--tenant", "demo", "--role", "admin")
    done = run(fresh, *arguments, "--output", str(tmp_path / "no" / "key"))
    assert (done.returncode, "no key was made" in done.stderr) == (2, True)
    assert run(fresh, *arguments).returncode == 0
    assert len(held(fresh, "demo")) == 1


def test_documents_neither_hold_nor_remove_keys(fresh: Settings, tmp_path: Path) -> None:
    run(fresh, "keys", "create", "--tenant", "demo", "--role", "admin")
    run(fresh, "catalog", "import", "-", text="categories: [{id: c, name: C}]")
    exported = run(fresh, "catalog", "export").stdout
    assert "categories" in exported
    assert "key" not in exported
    pruned = run(fresh, "catalog", "import", "-", "--prune", text="categories: [{id: d, name: D}]")
    assert "- categories[c]" in pruned.stdout
    assert len(held(fresh, "demo")) == 1
    refused = run(fresh, "catalog", "import", "-", text="api-keys: [{id: k, name: K, role: admin}]")
    assert (refused.returncode, "api-keys: is not a kind" in refused.stderr) == (2, True)


def test_without_a_pepper_it_says_how_to_make_one(fresh: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY_PEPPER")
    done = run(fresh, "keys", "create", "--tenant", "demo", "--role", "admin")
    assert (done.returncode, "openssl rand -hex 32" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--tenant", "No", "--role", "admin"),
        ("--tenant", "a", "--role", "owner"),
        ("--tenant", "a", "--role", "admin", "--scope", "everything"),
        ("--tenant", "a", "--role", "admin", "--expires-in", "soon"),
        ("--tenant", "a", "--role", "admin", "--name", "n" * 300),
        ("--role", "admin"),
    ],
)
def test_wrong_input_is_said(fresh: Settings, wrong: tuple[str, ...]) -> None:
    done = run(fresh, "keys", "create", *wrong)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr


def test_a_key_that_would_never_open_anything_is_refused(fresh: Settings) -> None:
    done = run(fresh, "keys", "create", "--tenant", "acme", "--role", "admin", "--expires-in", "0")
    assert (done.returncode, "0 is not a duration" in done.stderr) == (2, True)


def test_a_catalogue_that_cannot_be_read_takes_no_key_and_says_so(fresh: Settings) -> None:
    made(run(fresh, "keys", "create", "--tenant", "acme", "--role", "admin", "--json"))
    asyncio.run(put(fresh, b"acme:offers:new", UNREADABLE))
    asyncio.run(put(fresh, b"acme:!commit", LATER))
    done = run(fresh, "keys", "create", "--tenant", "acme", "--role", "admin")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("offers[new]: ")
    assert "Traceback" not in done.stderr
