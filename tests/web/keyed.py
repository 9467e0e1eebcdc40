"""API keys for tests: tenants' keys in the worker's catalogue, and the headers that carry them."""

from __future__ import annotations

from typing import Any

import msgspec

from app.decision.entities import ApiKey
from app.decision.validation import load_entity
from config.setting_types import Secret
from tables.api_keys import issue_key
from tests.web.harness import TENANT, Worker

PEPPER = "pepper-" * 6
#: Settings of a worker that knows callers by their keys.
KEYED: dict[str, Any] = {"auth_mode": "api_key", "api_key_pepper": Secret(PEPPER)}


def new_key(role: str, key_id: str | None = None, **fields: Any) -> tuple[ApiKey, str]:
    """A key's entity, and the key itself."""
    issued = issue_key(PEPPER)
    body = {"id": key_id or f"{role}-key", "name": role, "role": role, **fields}
    key = load_entity("api-keys", body)
    assert isinstance(key, ApiKey), key
    return msgspec.structs.replace(key, credentials=(issued.credential,)), issued.text


def put_key(worker: Worker, key: ApiKey, tenant: str = TENANT) -> None:
    """Make the worker's catalogue hold the key."""
    version = worker.catalogue.version + 1
    worker.catalogue = worker.catalogue.with_changes(tenant, {("api-keys", key.id): key}, version)


def give_key(worker: Worker, role: str, tenant: str = TENANT, **fields: Any) -> dict[str, str]:
    """Headers with a new key of this role."""
    key, text = new_key(role, **fields)
    put_key(worker, key, tenant)
    return {"X-API-Key": text}
