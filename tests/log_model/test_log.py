"""The model's log does what Apache Kafka was seen to do; see ARCHITECTURE.md, Fencing."""

from __future__ import annotations

import pytest
from aiokafka.errors import ProducerFenced

from tests.log_model.log import RETENTION_MS, Log, LogPartition, Unwritten


def _values(partition: LogPartition) -> list[tuple[int, bytes | None]]:
    return [(record.offset, record.value) for record in partition.kept]


def test_an_epoch_fences_a_partition_from_its_first_write_there() -> None:
    log = Log()
    changelog, decisions = log.at("changelog", 0), log.at("decisions", 0)
    former, owner = log.initialise("p"), log.initialise("p")
    changelog.append([Unwritten(b"k", b"late but in time")], former)
    changelog.append([Unwritten(b"!fence", b"")], owner)
    with pytest.raises(ProducerFenced):
        changelog.append([Unwritten(b"k", b"too late")], former)
    decisions.append([Unwritten(b"k", b"not fenced here")], former)
    decisions.append([Unwritten(b"!fence", b"")], owner)
    with pytest.raises(ProducerFenced):
        decisions.append([Unwritten(b"k", b"too late")], former)
    decisions.append([Unwritten(b"k", b"no epoch")], None)
    assert (changelog.end, decisions.end) == (2, 3)


def test_compaction_keeps_the_last_value_and_a_tombstone_for_its_time() -> None:
    partition = Log().at("changelog", 0)
    for key, value in [(b"a", b"1"), (b"b", b"1"), (b"a", None), (b"b", b"2")]:
        partition.append([Unwritten(key, value)], None)
    partition.compact(3, 0)
    assert _values(partition) == [(1, b"1"), (2, None), (3, b"2")]
    partition.compact(4, RETENTION_MS - 1)
    assert _values(partition) == [(2, None), (3, b"2")]
    partition.compact(4, RETENTION_MS)
    assert (_values(partition), partition.end) == ([(3, b"2")], 4)
    assert partition.values() == {b"b": b"2"}
