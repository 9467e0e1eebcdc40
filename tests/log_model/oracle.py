"""What must be so, counted from the log without the product's fold.

Rules:

1.  What was produced is remembered here as it was meant; a state is compared with what the records up to its
    positions meant, and with nothing else.
2.  The changelog's whole history is read: only batches that a control record ends have happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.decision.evidence import TALLIES, tally_of
from app.decision.learning.evidence import Tally
from app.decision.notices import decode_score
from config.topics import (
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    EVIDENCE,
    HEADER_ORIGIN,
    PROFILES,
    REKEYED,
    RESPONSES,
    SCOREBOARD,
    SOURCE_TOPICS,
)
from tables.control import ORIGIN, Control, decode_control
from tables.layout import CONTROL_KEY, FENCE_KEY, Kind, unpack
from tables.partition import Partition
from tables.publisher import Derived
from tests.log_model.log import LogPartition, Record
from tests.log_model.meant import Erased, Expected, Meant, count, found_in
from tests.log_model.shop import CHANGELOG, CUSTOMERS, ERASABLE, PARTITIONS, PUSHES, TOPICS, home_of, key_of
from tests.log_model.worker import Answer
from tests.log_model.world import World

OFFER = b"shop:offer/o1"

_derived = msgspec.msgpack.Decoder(Derived)


@dataclass
class Batches:
    """A changelog's whole batches: the newest control record, and what ever was in the outbox."""

    control: Control = ORIGIN
    outbox: dict[int, Derived] = field(default_factory=dict)
    #: All ranges folded, in the order of their fold.
    folded: list[tuple[int, int, int]] = field(default_factory=list)


class Oracle:
    """Remembers what was meant, and checks the world against it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._meant: dict[tuple[str, int, int], Meant] = {}

    def remember(self, topic: str, number: int, offset: int, meant: Meant) -> None:
        self._meant[topic, number, offset] = meant

    def check(self) -> None:
        """What is so at any moment."""
        self._check_caps()
        for number in range(PARTITIONS):
            batches = self._batches(number)
            self._check_derived(number, batches)
            owned = self._world.owned(number)
            if owned is None:
                continue
            worker, partition = owned
            self._check_customers(number, partition)
            self._check_erased(number, partition, batches)
            self._check_overlays(number, partition, worker.origin_id)
            self._check_store(number, partition, batches)

    def check_drained(self) -> None:
        """What is so when everything is folded and published."""
        self.check()
        for number in range(PARTITIONS):
            owned = self._world.owned(number)
            assert owned is not None
            _, partition = owned
            assert partition.store is not None
            assert partition.control == self._batches(number).control == partition.store.control()
            self._check_scores(number, partition)
            for topic in (REKEYED, DEAD_LETTERS):
                for target in range(PARTITIONS):
                    wanted, found = self._derived_and_published(number, self._batches(number), topic, target)
                    assert wanted == found, f"{number} derived {wanted} for {topic}, published is {found}"

    # -- the parts

    def _log(self, topic: str, number: int) -> LogPartition:
        return self._world.log.at(TOPICS[topic], number)

    def _check_caps(self) -> None:
        answers = self._answers()
        unlogged = [one for one in answers if one.pushes and not one.logged]
        assert not unlogged, f"answered without the log: {unlogged}"
        for customer in CUSTOMERS:
            answered = sum(one.pushes for one in answers if one.customer == customer)
            logged = [one for one in self._decisions(home_of(customer)) if one[0] == customer]
            assert answered <= PUSHES, f"{customer} was sent {answered} pushes"
            assert sum(pushes for _, _, pushes in logged) <= PUSHES, f"{customer}: {logged}"
        if self._world.budget is not None:
            logged = [one for number in range(PARTITIONS) for one in self._decisions(number)]
            assert sum(pushes for _, _, pushes in logged) <= self._world.budget, f"the budget: {logged}"

    def _answers(self) -> list[Answer]:
        workers = [*self._world.workers.values(), *self._world.ended]
        return [answer for worker in workers for answer in worker.answers]

    def _decisions(self, number: int, before: int | None = None) -> Iterator[tuple[str, str, int]]:
        for record in self._log(DECISIONS, number).history[:before]:
            if record.key != FENCE_KEY:
                body = json.loads(record.value or b"")
                yield body["customerId"], body["recommendationId"], len(body["shown"])

    def _check_customers(self, number: int, partition: Partition) -> None:
        expected = self._expected(number, partition.positions)
        for name, one in expected.items():
            customer = partition.customer(key_of(name))
            found = found_in(customer)
            assert found == (len(one.events), len(one.clicks), one.number, one.recommendations), (
                f"{name}: {found} at {partition.positions}, expected {one}"
            )

        if not partition.dirty:
            shown = sum(pushes for _, _, pushes in self._decisions(number, partition.positions[2]))
            clicks = sum(len(one.clicks) for one in expected.values())
            own = partition.counters.own.get(OFFER)
            counted = Tally() if own is None else tally_of(own)
            assert counted == Tally(shown, clicks), f"{number}: {counted}, {shown} shown, {clicks} clicks"

    def _check_scores(self, number: int, partition: Partition) -> None:
        """The last score of each key that this partition owns is the sum of all partitions' totals."""
        for name in partition.counters.sums:
            owners = [self._world.owned(each) for each in range(PARTITIONS)]
            totals = [
                found[1].counters.own[name] for found in owners if found and name in found[1].counters.own
            ]
            log = self._world.log.at(TOPICS[SCOREBOARD], 0)
            score = decode_score(log.values()[name])
            assert score is not None
            assert tally_of(score.totals) == tally_of(TALLIES.merge(totals)), f"{number}: {name!r}"

    def _expected(self, number: int, positions: list[int]) -> dict[str, Expected]:
        expected = {name: Expected() for name in CUSTOMERS if home_of(name) == number}
        at = dict(zip(SOURCE_TOPICS, positions, strict=True))
        for topic in (EVENTS, RESPONSES, PROFILES):
            for offset in range(at[topic]):
                meant = self._meant[topic, number, offset]
                if home_of(meant.customer) == number and meant.customer in expected:
                    count(expected[meant.customer], meant, f"{topic}/{number}/{offset}")
        for record in self._log(REKEYED, number).history[: at[REKEYED]]:
            origin = _origin(record)
            topic, source, offset_text = origin.split("/")
            meant = self._meant[topic, int(source), int(offset_text)]
            if meant.customer in expected:
                count(expected[meant.customer], meant, origin)
        for name, recommendation, _ in self._decisions(number, at[DECISIONS]):
            expected[name].recommendations.append(recommendation)
        return expected

    def _check_erased(self, number: int, partition: Partition, batches: Batches) -> None:
        """Who is erased now and then is what was written after the last erasure, whoever folds it when."""
        if home_of(ERASABLE) != number:
            return
        expected, sent = Erased(), set[str]()
        for topic, first, end in [*batches.folded, *partition._folded]:
            name = SOURCE_TOPICS[topic]
            if name not in (EVENTS, PROFILES, REKEYED):
                continue
            for record in self._log(name, number).history[first:end]:
                origin = _origin(record) if name == REKEYED else f"{name}/{number}/{record.offset}"
                source, at, offset = origin.split("/")
                meant = self._meant[source, int(at), int(offset)]
                # What is sent on may be sent twice.
                if meant.customer != ERASABLE or meant.kind == "bad" or origin in sent:
                    continue
                sent.add(origin)
                expected.fold(meant, self._log(source, int(at)).history[int(offset)].timestamp)
        events, _, profile, _ = found_in(partition.customer(key_of(ERASABLE)))
        assert (events, profile) == (expected.events, expected.number), f"{(events, profile)}, not {expected}"

    def _check_overlays(self, number: int, partition: Partition, origin: str) -> None:
        folded = [0]
        for record in self._log(DECISIONS, number).history[: partition.positions[2]]:
            body = {} if record.key == FENCE_KEY else json.loads(record.value or b"")
            if body.get("origin") == origin:
                folded.append(body["sequence"])
        answered = {(one.customer, one.recommendation_id) for one in self._answers() if one.logged}
        for name in (name for name in CUSTOMERS if home_of(name) == number):
            key = key_of(name)
            for overlay in partition.overlays.of(key):
                assert overlay.sequence > max(folded), f"overlay {overlay.sequence} stays, folded {folded}"
            customer = partition.customer(key)
            recommendations = partition.recommendations(key, customer)
            known = [one.recommendation_id for one in recommendations]
            assert len(known) == len(set(known)), f"{name}: one counts twice: {known}"
            assert len(partition.contacts(key, customer, 0)) == sum(len(one.shown) for one in recommendations)
            lost = {which for who, which in answered if who == name} - set(known)
            assert not lost, f"{name}: answered {lost}, the owner knows {known}"

    def _check_store(self, number: int, partition: Partition, batches: Batches) -> None:
        """Unless a batch is under way, the store holds what the changelog holds: each key's last value."""
        log, store = self._world.log.at(CHANGELOG, number), partition.store
        assert store is not None
        written = [record.offset for record in log.history if record.key != FENCE_KEY]
        if written and written[-1] != store.offset:
            return
        stored = {key: value for key, value in store.scan(b"") if not key.startswith(b"!")}
        logged = {key: value for key, value in log.values().items() if key != FENCE_KEY}
        assert stored == logged, f"store and changelog differ in {_different(stored, logged)}"
        assert store.control() == batches.control

    def _batches(self, number: int) -> Batches:
        """The whole batches of a changelog; checks that each topic is folded once and in order."""
        batches = Batches()
        fresh: dict[int, Derived] = {}
        for record in self._world.log.at(CHANGELOG, number).history:
            key, value = record.key or b"", record.value
            if key == FENCE_KEY:
                fresh.clear()
            elif key[:1] == Kind.OUTBOX.value and value is not None:
                fresh[int.from_bytes(key[1:], "big")] = _derived.decode(unpack(Kind.OUTBOX, value))
            elif key == CONTROL_KEY:
                control = decode_control(value or b"")
                _check_follows(batches.control, control)
                batches.control = control
                batches.folded.extend(control.folded)
                for sequence, derived in fresh.items():
                    assert batches.outbox.setdefault(sequence, derived) == derived, f"another {sequence}"
                fresh.clear()
        assert sorted(batches.outbox) == list(range(batches.control.outbox_end))
        return batches

    def _check_derived(self, number: int, batches: Batches) -> None:
        """All that must be derived is, and what is published is a beginning of it, in order."""
        positions = batches.control.positions
        wanted = {
            f"{topic}/{number}/{offset}"
            for (topic, source, offset), meant in self._meant.items()
            if source == number and offset < positions[SOURCE_TOPICS.index(topic)]
            if meant.kind == "bad" or home_of(meant.customer) != number
        }
        derived = [one for one in batches.outbox.values() if one.topic != EVIDENCE]
        origins = [dict(one.headers)[HEADER_ORIGIN].decode() for one in derived]
        assert len(origins) == len(set(origins))
        assert set(origins) == wanted
        for topic in (REKEYED, DEAD_LETTERS):
            for target in range(PARTITIONS):
                derived, published = self._derived_and_published(number, batches, topic, target)
                assert published == derived[: len(published)], f"{published} is not how {derived} begins"

    def _derived_and_published(
        self, number: int, batches: Batches, topic: str, target: int
    ) -> tuple[list[Any], list[Any]]:
        derived = [
            (one.key, one.value, one.headers)
            for _, one in sorted(batches.outbox.items())
            if (one.topic, one.partition) == (topic, target)
        ]
        published = [
            (record.key, record.value, record.headers)
            for record in self._log(topic, target).history
            if _origin(record).split("/")[1] == str(number)
        ]
        return derived, list(dict.fromkeys(published))


def _check_follows(before: Control, control: Control) -> None:
    ends = list(before.positions)
    for topic, first, end in control.folded:
        assert first == ends[topic], f"{SOURCE_TOPICS[topic]} was folded to {ends[topic]}, then from {first}"
        ends[topic] = end
    assert tuple(ends) == control.positions, f"{control} after {before}"
    assert (control.batch, control.epoch >= before.epoch) == (before.batch + 1, True)


def _origin(record: Record) -> str:
    return dict(record.headers)[HEADER_ORIGIN].decode()


def _different(stored: dict[bytes, bytes], logged: dict[bytes, bytes]) -> list[bytes]:
    return sorted(key for key in stored.keys() | logged.keys() if stored.get(key) != logged.get(key))
