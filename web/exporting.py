"""Writing catalogues as documents, for requests.

Rules:

1.  At most so many are written at once, one for a tenant: whoever asks for more is refused, nobody waits.
2.  They have threads of their own, so that they never stand in the way of the rest of the worker.
3.  A place is taken until the writing has ended, whoever still waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from app.decision.entities import Entity
from app.decision.index import EntityKey
from tables.catalogue_document import document_of
from tables.catalogue_yaml import json_parts, yaml_parts

#: Parts that are written between two looks at whether somebody still waits for them.
_PARTS = 100


class ExportsFullError(Exception):
    """Too many are written, or one for this tenant is: nothing was begun. External, retryable."""


class ExportUnreadError(Exception):
    """Nobody waits for it any more; it was not finished. External."""


class Exports:
    """The documents that are being written.

    Args:
        most: how many at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tenants: set[str] = set()
        self._threads = ThreadPoolExecutor(most, "export")

    async def text(
        self,
        tenant_id: str,
        entities: Mapping[EntityKey, Entity],
        as_yaml: bool,
        unread: Callable[[], bool],
    ) -> bytes:
        """The tenant's document, YAML or JSON.

        Args:
            tenant_id: whose it is.
            entities: what it says.
            as_yaml: YAML instead of JSON.
            unread: whether nobody waits for it any more; asked in another thread, now and then.

        Raises:
            ExportsFullError: see rule 1.
            ExportUnreadError: see there.
        """
        if tenant_id in self._tenants or len(self._tenants) >= self._most:
            raise ExportsFullError
        self._tenants.add(tenant_id)
        writing = asyncio.get_running_loop().run_in_executor(
            self._threads, _text, tenant_id, entities, as_yaml, unread
        )
        writing.add_done_callback(lambda _: self._tenants.discard(tenant_id))
        return await asyncio.shield(writing)


def _text(
    tenant_id: str, entities: Mapping[EntityKey, Entity], as_yaml: bool, unread: Callable[[], bool]
) -> bytes:
    if unread():
        raise ExportUnreadError
    document = document_of(tenant_id, entities)
    return "".join(_read(yaml_parts(document) if as_yaml else json_parts(document), unread)).encode()


def _read(parts: Iterator[str], unread: Callable[[], bool]) -> Iterator[str]:
    """The parts, while somebody waits for them."""
    for i, part in enumerate(parts):
        if i % _PARTS == 0 and unread():
            raise ExportUnreadError
        yield part
