"""Quix Streams: state in RocksDB with a changelog, at least once, its own defaults.

The value is kept as bytes under one name, which is faster than Quix's JSON state with the same arithmetic.
The run counts as over when its last checkpoint is done, since only that writes the changelog.
"""

from __future__ import annotations

import signal
from typing import Any

from quixstreams import Application, State

from tests.bench.contenders.arguments import Assignment, parse
from tests.bench.contenders.purchase_metrics import counted
from tests.bench.progress import Progress

STATE = "metrics"


def run(assignment: Assignment) -> None:
    """Count as many records as the topic has, then stop."""
    app = Application(
        broker_address=assignment.bootstrap,
        consumer_group=assignment.group,
        auto_offset_reset="earliest",
        state_dir=assignment.state,
        consumer_extra_config={"fetch.wait.max.ms": 20},
        processing_guarantee="at-least-once",
        loglevel="INFO",
    )
    topic = app.topic(assignment.topic, key_deserializer="bytes", value_deserializer="bytes")
    progress = Progress(assignment.progress)
    folded = 0

    def count(value: Any, state: State[str, bytes]) -> None:
        nonlocal folded
        state.set_bytes(STATE, counted(state.get_bytes(STATE), value))
        folded += 1
        progress.write(min(folded, assignment.records - 1))

    app.dataframe(topic).update(count, stateful=True)
    app.run(count=assignment.records)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    progress.write(folded)
    signal.pause()


if __name__ == "__main__":
    run(parse())
