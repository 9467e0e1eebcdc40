"""The audit trail on this worker: follows its topic, checks every chain, and knows where each entry lies."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from config.metrics import Metrics
from config.settings import Settings
from tables.audit_index import AuditIndex
from tables.audit_topic import AuditFeed, open_audit
from tables.background import Background

log = structlog.get_logger(__name__)

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0


class AuditReader:
    """Fills an index from the topic, in the background; after any trouble from the beginning again.

    A chain that does not hold is logged and counted, and reading goes on behind it.

    Args:
        settings: brokers and application.
        index: is filled; `read` says when it has all that was there at the start.
        metrics: where entries and breaks are counted.
    """

    def __init__(self, settings: Settings, index: AuditIndex, metrics: Metrics) -> None:
        self._settings = settings
        self._index = index
        self._metrics = metrics
        self._background = Background(self._run, "audit reader")
        self._said: set[str] = set()

    async def start(self) -> None:
        """Begin to read; the topic must exist."""
        self._background.start()

    async def stop(self) -> None:
        """Stop reading; the index stays."""
        await self._background.stop()

    async def _run(self) -> None:
        pause_s = _BACKOFF_FIRST_S
        while True:
            try:
                async with open_audit(self._settings) as feed:
                    pause_s = _BACKOFF_FIRST_S
                    await self._follow(feed)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("reading the audit trail again", error=repr(error), pause_s=round(pause_s, 1))
            except Exception as error:  # a reader that ended would answer an old trail for ever
                log.error("the audit trail's reader failed", error=repr(error), exc_info=True)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _BACKOFF_MAX_S)

    async def _follow(self, feed: AuditFeed) -> None:
        self._index.clear()
        while True:
            records = await feed.records()
            if records:
                # A thread: a trail of years has hashes to check for minutes.
                for broken in await asyncio.to_thread(self._add, records):
                    self._say(broken)
                self._metrics.audit_entries.set(len(self._index))
            if not self._index.read and await feed.at_end():
                self._index.read = True

    def _add(self, records: list[ConsumerRecord]) -> list[str]:
        """Index the records; the breaks among them."""
        found = (self._index.add(record.offset, record.key, record.value) for record in records)
        return [broken for broken in found if broken is not None]

    def _say(self, broken: str) -> None:
        """Each break once, however often the topic is read."""
        if broken not in self._said:
            self._said.add(broken)
            self._metrics.audit_breaks_total.inc()
            log.error("the audit trail does not hold: see docs/alerts/audit-broken.md", broken=broken)
