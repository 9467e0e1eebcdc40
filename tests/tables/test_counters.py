"""Counters: what a model learns in a batch is encoded once, and goes on after a restart as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.decision.learning.learner import LogisticLearner
from app.decision.learning.logistic import Logistic, LogisticConfig, LogisticState
from app.decision.observations import Observation
from tables.counters import Counters
from tables.store import PartitionStore, StoreMemory

REGRESSION = Logistic(LogisticConfig(), ["attributes.city"])
CITIES = ["Linz", "Graz", "Linz", "Wien", "Graz", "Linz"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "0.db", StoreMemory(8 << 20, 4 << 20))
    yield store
    store.close()


class Counted(LogisticLearner):
    """Counts how often it decodes and encodes."""

    def __init__(self) -> None:
        super().__init__(REGRESSION)
        self.decoded = self.encoded = 0

    def decode(self, totals: bytes | None, /) -> LogisticState:
        self.decoded += 1
        return super().decode(totals)

    def encode(self, state: LogisticState, /) -> bytes:
        self.encoded += 1
        return super().encode(state)


def shown(city: str) -> Observation:
    return Observation("impression", "o1", "c1", "music", "web", model_id="m", features=(city,))


def learn(counters: Counters, learner: LogisticLearner, *cities: str) -> None:
    for city in cities:
        counters.observe("shop", shown(city), learner)


def write(counters: Counters, store: PartitionStore, number: int) -> bytes:
    changes, first = list(counters.changes()), store.offset + 1
    store.apply(changes, first, first + len(changes) - 1)
    counters.written(number)
    return counters.own[b"shop:model/m"]


def test_a_batch_of_examples_is_encoded_once_and_told_as_learnt(store: PartitionStore) -> None:
    counters, learner = Counters(), Counted()
    learn(counters, learner, *CITIES)
    write(counters, store, 1)
    learn(counters, learner, *CITIES)
    written = write(counters, store, 2)
    assert (learner.decoded, learner.encoded) == (1, 2)
    assert counters.own_untold[b"shop:model/m"] == (2, (written,))
    assert learner.decode(written).examples == 2 * len(CITIES)


def test_a_restart_between_batches_changes_nothing(store: PartitionStore) -> None:
    lasting, learner = Counters(), Counted()
    learn(lasting, learner, *CITIES)
    write(lasting, store, 1)
    restarted = Counters()
    restarted.load(store, 1)
    for counters in (lasting, restarted):
        learn(counters, learner, *CITIES[::-1])
    assert write(restarted, store, 2) == write(lasting, store, 2)


def test_what_was_learnt_in_a_batch_that_failed_is_forgotten(store: PartitionStore) -> None:
    counters, learner = Counters(), Counted()
    learn(counters, learner, "Linz")
    before = write(counters, store, 1)
    learn(counters, learner, *CITIES)
    counters.load(store, 1)
    learn(counters, learner, "Graz")
    wanted = learner.learn(learner.decode(before), ("Graz",), False)
    assert write(counters, store, 2) == learner.encode(wanted)
