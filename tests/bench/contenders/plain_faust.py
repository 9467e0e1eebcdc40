"""A plain Faust agent: one event at a time, one RocksDB table with a changelog, one value a customer.

Its settings are those that measured best: uvloop, a producer that lingers, large batches, raw bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

import faust
import uvloop
from faust.types import StreamT

from tests.bench.contenders.arguments import Assignment, parse
from tests.bench.contenders.purchase_metrics import counted
from tests.bench.progress import Progress

TABLE = "metrics"


def create(assignment: Assignment) -> faust.App:
    """The app, with one agent that counts."""
    app = faust.App(
        assignment.group,
        broker=f"kafka://{assignment.bootstrap}",
        store="rocksdb://",
        datadir=assignment.state,
        autodiscover=False,
        topic_partitions=assignment.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.02,
        producer_max_batch_size=131_072,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=10.0,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        web_enabled=False,
    )
    topic = app.topic(assignment.topic, key_type=bytes, value_type=bytes, value_serializer="raw")
    table = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=assignment.partitions)
    progress = Progress(assignment.progress)

    async def count(stream: StreamT[bytes]) -> None:
        folded = 0
        async for event in stream.events():
            table[event.key] = counted(table.get(event.key), event.value)
            folded += 1
            progress.write(folded)

    app.agent(topic, name="count")(count)
    return app


async def run(assignment: Assignment) -> None:
    """Count until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = create(assignment)
    await app.start()
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
    await app.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(parse()))
