"""API keys on the catalogue's topic, as the command line reads and writes them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from app.commands.terminal import BAD_INPUT, fail, user_name

if TYPE_CHECKING:
    from app.decision.entities import ApiKey
    from config.settings import Settings

#: How often a change is tried whose writing another one's cut off, and up to how long is waited after the
#: first, s.
ATTEMPTS = 6
_PAUSE_S = 1.0


async def until_alone(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work; again from its beginning, a few times, when another writer of any catalogue came in.

    Raises:
        tables.catalogue_commit.CatalogueConflictError: there was one each time, or it is unknown whether
            this one was first.
    """
    from tables.catalogue_commit import CatalogueConflictError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            await work()
        except CatalogueConflictError as error:
            if attempt == ATTEMPTS or not error.certain:
                raise
            # Apart from each other, so that two do not meet again.
            await asyncio.sleep(_PAUSE_S * attempt * random.random())
        else:
            return


async def change_key(
    settings: Settings, tenant_id: str, key_id: str, change: Callable[[ApiKey], ApiKey]
) -> None:
    """Change a tenant's key; one that is not there or not active ends the program."""
    found = next((key for key in await keys_of(settings, tenant_id) if key.id == key_id), None)
    if found is None:
        fail(
            f"{tenant_id} has no key {key_id}; offertide keys list --tenant {tenant_id} shows those it has",
            BAD_INPUT,
        )
    if found.status != "active":
        fail(f"{key_id} is {found.status}: make a new key", BAD_INPUT)
    await write_key(settings, tenant_id, change(found))


async def keys_of(settings: Settings, tenant_id: str) -> list[ApiKey]:
    """A tenant's keys, by id; none when nothing was ever written."""
    from app.decision.entities import ApiKey
    from app.provision import topic_exists, wait_for_broker
    from config.topics import CATALOG
    from tables.catalogue_writer import CatalogueWriter

    await wait_for_broker(settings)
    if not await topic_exists(settings, CATALOG):
        return []
    entities = await CatalogueWriter(settings).read_tenant(tenant_id)
    return [one for _, one in sorted(entities.items()) if isinstance(one, ApiKey)]


async def write_key(settings: Settings, tenant_id: str, key: ApiKey) -> None:
    """Write a key to the topic; what is wrong with it ends the program."""
    from app.provision import ensure_topics, wait_for_broker
    from config.topics import AUDIT, CATALOG
    from tables.catalogue_document import CatalogueInvalidError, Entry
    from tables.catalogue_writer import CatalogueWriter

    await wait_for_broker(settings)
    await ensure_topics(settings, only=[CATALOG, AUDIT])
    entry = Entry("api-keys", f"api-keys[{key.id}]", key)
    try:
        await CatalogueWriter(settings).import_tenant(tenant_id, [entry], by=user_name("offertide keys"))
    except CatalogueInvalidError as error:
        fail("\n".join(f"{one.path}: {one.message}" for one in error.problems), BAD_INPUT)
