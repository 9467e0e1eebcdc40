"""Reading the topic `scoreboard` into this worker's scoreboard, for as long as the worker runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from config.metrics import Metrics
from config.settings import Settings
from config.topics import SCOREBOARD, topic_names
from tables.background import Background
from tables.clients import lone_consumer
from tables.layout import FENCE_KEY
from tables.scoreboard import Scoreboard

#: How long a fetch waits at the broker, in milliseconds; and one call for records.
FETCH_WAIT_MS = 100
POLL_MS = 500

#: Records taken in before other work has its turn.
PART_RECORDS = 1_000

BACKOFF_S = 1.0

log = structlog.get_logger(__name__)


class ScoreboardReader:
    """Follows the topic with a consumer outside any group.

    Invariant: once ready it stays ready, with what it has read, whatever happens to the broker.

    Args:
        settings: brokers and application.
        scoreboard: where the scores go.
    """

    def __init__(self, settings: Settings, scoreboard: Scoreboard, metrics: Metrics) -> None:
        self._settings = settings
        self._scoreboard = scoreboard
        self._metrics = metrics
        self._place = TopicPartition(topic_names(settings.app_id)[SCOREBOARD], 0)
        self._background = Background(self._run, "scoreboard reader")

    async def start(self) -> None:
        """Begin to read, in the background; the topic must exist."""
        self._background.start()

    async def stop(self) -> None:
        """Stop reading; what was read stays."""
        await self._background.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("reading the scoreboard again", error=repr(error))
            except Exception:
                # A reader that ended would leave old evidence for ever.
                log.exception("the scoreboard's reader failed, it begins again")
            await asyncio.sleep(BACKOFF_S)

    async def _follow(self) -> None:
        """Read from the beginning, since versions sort out what is known; then what comes."""
        async with self._consumer() as consumer:
            consumer.assign([self._place])
            begin = int((await consumer.beginning_offsets([self._place]))[self._place])
            end = int((await consumer.end_offsets([self._place]))[self._place])
            consumer.seek(self._place, begin)
            started, position = time.monotonic(), begin
            while True:
                if position >= end and not self._scoreboard.ready:
                    self._scoreboard.read()
                    took_ms = round((time.monotonic() - started) * 1000, 1)
                    log.info("scoreboard read", entries=len(self._scoreboard), took_ms=took_ms)
                fetched = await consumer.getmany(self._place, timeout_ms=POLL_MS, max_records=PART_RECORDS)
                self._apply(fetched.get(self._place, ()))
                position = await consumer.position(self._place)
                # What is buffered comes without any waiting.
                await asyncio.sleep(0)

    def _apply(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.key != FENCE_KEY and not self._scoreboard.apply(record.key, record.value):
                log.warning("no score", key=repr(record.key)[:200])
        if records:
            self._metrics.scoreboard_entries.set(len(self._scoreboard))

    def _consumer(self) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        settings = self._settings
        return lone_consumer(
            settings.bootstrap_servers,
            # The embedded broker sleeps through a fetch's wait.
            FETCH_WAIT_MS if settings.idempotent_producer else settings.fetch_wait_ms,
            client_id=f"{settings.app_id}-scoreboard",
            # A position that is gone means another topic than the one read so far: read it from its
            # beginning.
            auto_offset_reset="none",
            retry_backoff_ms=100,
        )
