"""Answers that are given again: kept, found, bounded, swept, forgotten; and their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.decision.idempotency import answer_hash
from app.decision.state import ANSWER_WINDOW_MS, ANSWERS_MAX
from config.metrics import Metrics, new_metrics
from tables import answers
from tables.answers import Answered, Answers
from tables.layout import StateFormatError
from tables.store import PartitionStore, StoreMemory
from tests.tables.golden import golden

NOW_MS = 1_800_000_000_000
ANN, ANNA = b"shop:ann", b"shop:anna"


class Kept:
    """A partition's answers over a store, and the batch that is written by hand."""

    def __init__(self, folder: Path) -> None:
        self.metrics: Metrics = new_metrics()
        self.store = PartitionStore(folder / "0.db", StoreMemory(8 << 20, 4 << 20))
        self.answers = Answers(self.metrics)
        self.answers.load(self.store)
        self.now_ms = NOW_MS

    def keep(self, customer: bytes, number: int) -> None:
        self.answers.keep(customer, Answered(number, self.now_ms), b"answer %d" % number, self.now_ms)

    def find(self, customer: bytes, number: int) -> bytes | None:
        return self.answers.find(customer, number, self.now_ms)

    def write(self) -> None:
        changes = list(self.answers.changes(self.now_ms))
        if changes:
            self.store.apply(changes, self.store.offset + 1, self.store.offset + len(changes))
        self.answers.written()

    def stored(self) -> list[bytes]:
        return [key for prefix in (b"K", b"V") for key, _ in self.store.scan(prefix)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.store.close()


def test_an_answer_is_found_in_the_batch_in_hand_and_behind_it(kept: Kept) -> None:
    kept.keep(ANN, 1)
    assert kept.find(ANN, 1) == b"answer 1"
    kept.write()
    assert (kept.find(ANN, 1), kept.find(ANN, 2), kept.find(ANNA, 1)) == (b"answer 1", None, None)
    kept.answers.clear()
    kept.answers.load(kept.store)
    assert kept.find(ANN, 1) == b"answer 1"


def test_what_no_batch_wrote_is_dropped_with_it(kept: Kept) -> None:
    kept.keep(ANN, 1)
    kept.answers.load(kept.store)
    assert kept.find(ANN, 1) is None
    assert not kept.answers.dirty


def test_the_newest_answer_of_a_key_is_the_one(kept: Kept) -> None:
    kept.keep(ANN, 1)
    kept.write()
    for later_ms in (0, 5):
        kept.answers.keep(ANN, Answered(1, NOW_MS + later_ms), b"newer %d" % later_ms, NOW_MS + later_ms)
        assert kept.find(ANN, 1) == b"newer %d" % later_ms
        kept.write()
    assert len(kept.stored()) == 2, "the list, and one answer"


@pytest.mark.parametrize("batches", [1, ANSWERS_MAX + 5])
def test_a_customer_has_so_many_and_the_oldest_go(kept: Kept, batches: int) -> None:
    for number in range(ANSWERS_MAX + 5):
        kept.keep(ANN, number)
        if batches > 1:
            kept.write()
    kept.write()
    found = [number for number in range(ANSWERS_MAX + 5) if kept.find(ANN, number)]
    assert found == list(range(5, ANSWERS_MAX + 5))
    assert len(kept.stored()) == ANSWERS_MAX + 1
    pushed_out = kept.metrics.idempotent_answers_total.labels("pushed_out")
    assert pushed_out._value.get() == 5.0


def test_what_has_run_out_is_not_found_and_is_swept(kept: Kept) -> None:
    kept.keep(ANN, 1)
    kept.keep(ANNA, 1)
    kept.now_ms += 1
    kept.keep(ANN, 2)
    kept.write()
    kept.now_ms = NOW_MS + ANSWER_WINDOW_MS - 1
    assert not kept.answers.due(kept.now_ms)
    assert kept.find(ANN, 1) is not None
    kept.now_ms += 1
    assert kept.answers.due(kept.now_ms)
    assert (kept.find(ANN, 1), kept.find(ANN, 2)) == (None, b"answer 2")
    kept.write()
    assert [key[:1] for key in kept.stored()] == [b"K", b"V"], "of ann; anna has none left"
    assert not kept.answers.due(kept.now_ms)
    kept.now_ms += 1
    kept.write()
    assert kept.stored() == []
    assert not kept.answers.due(kept.now_ms + ANSWER_WINDOW_MS)


def test_a_batch_sweeps_so_many_and_the_next_the_others(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_SWEEP", 2)
    for number in range(7):
        kept.keep(ANN, number)
        kept.now_ms += 1
    kept.write()
    kept.now_ms += ANSWER_WINDOW_MS
    left = []
    while kept.answers.due(kept.now_ms):
        kept.write()
        left.append(len(kept.stored()))
    assert left == [6, 4, 2, 0], "the list goes with the last answer, not before"


def test_a_batch_that_keeps_many_sweeps_more(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_SWEEP", 0)
    for number in range(6):
        kept.keep(b"shop:c%d" % number, number)
    kept.write()
    kept.now_ms += ANSWER_WINDOW_MS
    for number in range(2):
        kept.keep(ANN, number)
    kept.write()
    assert sum(key.startswith(b"V") for key in kept.stored()) == 4, "two new ones, two of six old ones"


def test_an_answer_that_has_run_out_when_it_is_folded_is_not_kept(kept: Kept) -> None:
    kept.answers.keep(ANN, Answered(1, NOW_MS - ANSWER_WINDOW_MS), b"late", NOW_MS)
    assert not kept.answers.dirty


def test_all_keys_of_a_customer_are_known_and_can_be_forgotten(kept: Kept) -> None:
    for customer in (ANN, ANNA):
        for number in range(3):
            kept.keep(customer, number)
    kept.write()
    kept.keep(ANN, 3)
    named = kept.answers.keys_of(ANN)
    assert len(named) == len(set(named)) == 5
    kept.answers.forget(ANN)
    assert kept.answers.keys_of(ANN) == []
    assert [kept.find(ANN, number) for number in range(4)] == [None] * 4
    kept.write()
    assert sorted(kept.stored()) == sorted(kept.answers.keys_of(ANNA))


def test_the_bytes_of_every_version_stay_readable(kept: Kept) -> None:
    key_hash = answer_hash("demo", "C-1 ü", "k")
    kept.answers.keep("demo:C-1 ü".encode(), Answered(key_hash, NOW_MS), b'{"count":0}', NOW_MS)
    stored = golden("answers-v1.json")
    assert dict(kept.answers.changes(NOW_MS)) == stored
    kept.answers.load(kept.store)
    kept.store.apply(stored.items(), 0, 1)
    assert kept.find("demo:C-1 ü".encode(), key_hash) == b'{"count":0}'


@pytest.mark.parametrize("kind", [b"K", b"V"])
def test_an_unknown_version_is_refused(kept: Kept, kind: bytes) -> None:
    kept.keep(ANN, 1)
    changes = [
        (key, b"\x63" if key.startswith(kind) else value) for key, value in kept.answers.changes(NOW_MS)
    ]
    kept.answers.load(kept.store)
    kept.store.apply(changes, 0, 1)
    with pytest.raises(StateFormatError, match="version 99"):
        kept.find(ANN, 1)
