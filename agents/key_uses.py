"""Telling the other workers when API keys were used last, now and then."""

from __future__ import annotations

import asyncio

import structlog

from config.topics import CATALOG
from tables.background import Background
from tables.key_uses import KeyUses
from tables.publisher import Publisher, PublishError

log = structlog.get_logger(__name__)

#: Uses are looked at this often, in seconds; each key is told of once a minute at most.
EVERY_S = 2.0


class KeyUseTeller:
    """Writes the uses that are due to the catalogue's topic, where every worker reads them.

    Args:
        uses: this worker's.
        publisher: this worker's, started.
    """

    def __init__(self, uses: KeyUses, publisher: Publisher) -> None:
        self.uses = uses
        self._publisher = publisher
        self._background = Background(self._run, "key uses")

    def start(self) -> None:
        """Begin, in the background."""
        self._background.start()

    async def stop(self) -> None:
        """End; a use of the last seconds may stay untold."""
        await self._background.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            for key, value in self.uses.due():
                try:
                    await self._publisher.publish(CATALOG, key, value, partition=0)
                except PublishError as error:
                    log.warning("a key's use is not told, it will be later", error=str(error))
                    break
                self.uses.heard(key, value)
