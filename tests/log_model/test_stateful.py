"""Workers that crash, freeze, lose their disks and come back on a failing log: each record counts once.

`LOG_MODEL_EXAMPLES` runs so many examples, each another at every run; the default is the same few every time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from config.metrics import new_metrics
from config.topics import EVENTS, PROFILES, RESPONSES, SOURCE_TOPICS
from tests.log_model.clients import Fault
from tests.log_model.log import Unwritten
from tests.log_model.meant import Meant
from tests.log_model.oracle import Oracle
from tests.log_model.shop import CUSTOMERS, ERASABLE, PARTITIONS, click, erasure, home_of, profile, purchase
from tests.log_model.world import NAMES, STRIKES, World

_LONGER = os.environ.get("LOG_MODEL_EXAMPLES")
_METRICS = new_metrics()

#: The disks: in memory where the system has such a folder.
_SHM = Path("/dev/shm")

#: The clock jumps over a tombstone's time, but not so often that an event's id is forgotten.
_JUMP_MS = 25 * 3_600_000
_JUMPS = 4

customers = st.sampled_from(CUSTOMERS)
workers = st.sampled_from(NAMES)
numbers = st.integers(0, PARTITIONS - 1)
topics = st.integers(0, len(SOURCE_TOPICS) - 1)

#: What happens to a write of the workers that follows soon; None half of the time.
Trouble = tuple[Fault, int, str] | None
troubles = st.none() | st.tuples(
    st.sampled_from(list(Fault)), st.integers(0, 3), st.sampled_from(sorted(STRIKES))
)

#: A record: what it is, of whom, which id it carries, and whether it stands in another's partition.
Produced = tuple[str, str, int | None, bool]
produced = st.tuples(
    st.sampled_from(["event", "event", "click", "profile", "bad"]),
    customers,
    st.none() | st.integers(0, 3),
    st.booleans(),
)

#: A record of the customer who is erased now and then: what, how old, and whether in another's partition.
erasable = st.tuples(
    st.sampled_from(["event", "event", "profile", "erase"]), st.sampled_from([0, 0, 60_000]), st.booleans()
)

#: Chunks to hand over, a batch's end after some: partition, topic, records; from where; whether to wait then.
Handed = tuple[int, int, int, int, bool]
handed = st.tuples(numbers, topics, st.integers(1, 6), st.sampled_from([0] * 8 + [-3, -1, 1]), st.booleans())


class Failures(RuleBasedStateMachine):
    """Every rule is something that happens to a cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="log-model-", dir=_SHM if _SHM.is_dir() else None))
        self.world: World | None = None
        self.jumps = self.produced = 0
        self.sound = True

    @initialize(
        batch_bytes=st.sampled_from([150, 600, 1_000_000]),
        budget=st.sampled_from([None, None, 3, 6]),
        warm=st.sampled_from([True, True, False]),
    )
    def begin(self, batch_bytes: int, budget: int | None, warm: bool) -> None:
        self.world = World(self.folder, _METRICS, batch_bytes, budget)
        self.oracle = Oracle(self.world)
        if warm:
            # Asking the key's owner for a share of a budget takes several folds: steps rarely come to it.
            self.world.drain()

    def _it(self) -> World:
        assert self.world is not None
        return self.world

    def _write(self, topic: str, number: int, record: Unwritten, meant: Meant) -> None:
        offset = self._it().produce(topic, number, record)
        self.oracle.remember(topic, number, offset, meant)

    # -- what comes from outside

    def _arm(self, trouble: Trouble) -> None:
        if trouble is not None:
            fault, after, strikes = trouble
            for worker in self._it().workers.values():
                worker.network.arm(fault, after, STRIKES[strikes])

    @rule(several=st.lists(produced, min_size=1, max_size=8), folded=st.booleans(), trouble=troubles)
    def produce(self, several: list[Produced], folded: bool, trouble: Trouble) -> None:
        for kind, customer, known, misplaced in several:
            self._produce(kind, customer, known, misplaced)
        if folded:
            self.fold_all(trouble)

    def _produce(self, kind: str, customer: str, known: int | None, misplaced: bool) -> None:
        self.produced += 1
        now_ms = self._it().loop.wall_ms()
        number = home_of(customer) ^ misplaced
        if kind == "event":
            identity = None if known is None else f"e{known}"
            self._write(EVENTS, number, purchase(customer, now_ms, identity), Meant(kind, customer, identity))
        elif kind == "click":
            self._write(
                RESPONSES, number, click(customer, now_ms, f"k{known}"), Meant(kind, customer, f"k{known}")
            )
        elif kind == "profile":
            meant = Meant(kind, customer, None, self.produced)
            self._write(PROFILES, home_of(customer), profile(customer, now_ms, self.produced), meant)
        else:
            record = Unwritten(b"?", b"{%d" % self.produced, (), now_ms)
            self._write(
                (EVENTS, RESPONSES, PROFILES)[self.produced % 3], number, record, Meant(kind, customer)
            )

    @rule(several=st.lists(erasable, min_size=1, max_size=6), folded=st.booleans(), trouble=troubles)
    def erase(self, several: list[tuple[str, int, bool]], folded: bool, trouble: Trouble) -> None:
        """Records of a customer, erasures among them, some as old as a minute."""
        for kind, age_ms, misplaced in several:
            self.produced += 1
            at_ms = self._it().loop.wall_ms() - age_ms
            number = home_of(ERASABLE) ^ misplaced
            meant = Meant(kind, ERASABLE, None, self.produced)
            if kind == "event":
                self._write(EVENTS, number, purchase(ERASABLE, at_ms, None), meant)
            elif kind == "profile":
                self._write(PROFILES, number, profile(ERASABLE, at_ms, self.produced), meant)
            else:
                self._write(PROFILES, number, erasure(ERASABLE, at_ms), meant)
        if folded:
            self.fold_all(trouble)

    @rule(
        asked=st.lists(st.tuples(customers, st.booleans()), min_size=1, max_size=5),
        level=st.booleans(),
        settled=st.booleans(),
        trouble=troubles,
    )
    def recommend(self, asked: list[tuple[str, bool]], level: bool, settled: bool, trouble: Trouble) -> None:
        """Clients ask all workers: some do not know who owns a customer now.

        Args:
            level: what there is is folded before; else a partition just taken often answers nothing.
        """
        if level:
            self.fold_all(None)
        self._arm(trouble)
        for customer, traced in asked:
            for worker in self._it().workers.values():
                worker.recommend(customer, traced)
        self._it().settle(0.1 if settled else 0)

    # -- what the workers do

    @rule(chunks=st.lists(handed, min_size=1, max_size=8), backwards=st.booleans(), trouble=troubles)
    def fold(self, chunks: list[Handed], backwards: bool, trouble: Trouble) -> None:
        """All that hold a partition are handed its records, also one that should not any more."""
        self._arm(trouble)
        for number, topic, count, skip, settled in chunks:
            holders = list(self._it().workers.values())
            for worker in reversed(holders) if backwards else holders:
                if worker.alive:
                    self._it().loop.run(worker.deliver(number, topic, count, skip))
            self._it().settle(0.1 if settled else 0)
        self._it().settle()

    @rule(trouble=troubles)
    def fold_all(self, trouble: Trouble) -> None:
        everything = [(n, t, 1_000, 0, False) for n in range(PARTITIONS) for t in range(len(SOURCE_TOPICS))]
        self.fold(everything, False, trouble)

    @rule(seconds=st.sampled_from([0.3, 2.0, 12.0]))
    def wait(self, seconds: float) -> None:
        self._it().settle(seconds)

    # -- what befalls them

    @precondition(lambda self: self.world is not None and self.world.log.flights)
    @rule(data=st.data())
    def land_late(self, data: st.DataObject) -> None:
        log = self._it().log
        log.land_late(*data.draw(st.sampled_from(sorted(log.flights))))
        self._it().settle()

    @rule(name=workers, wiped=st.booleans(), owners=st.none() | st.lists(workers, min_size=2, max_size=2))
    def restart(self, name: str, wiped: bool, owners: list[str] | None) -> None:
        """A process dies, also in the middle of things, and comes back."""
        world = self._it()
        if name in world.workers:
            world.kill(name)
        if wiped:
            shutil.rmtree(world.disk(name), ignore_errors=True)
        world.start(name)
        world.rebalance(world.assignment if owners is None else dict(enumerate(owners)))

    @rule(name=workers, returns=st.booleans(), trouble=troubles)
    def cut_off(self, name: str, returns: bool, trouble: Trouble) -> None:
        """The group no longer hears a worker, which goes on all the same, and gives its partitions away."""
        world = self._it()
        for worker in world.workers.values():
            if returns or worker.name != world.workers.get(name, worker).name:
                worker.feed.member.set()
        if name in world.workers:
            world.workers[name].feed.member.clear()
        self._arm(trouble)
        heir = next(other for other in NAMES if other != name)
        world.rebalance(dict.fromkeys(range(PARTITIONS), heir))

    @rule(owners=st.lists(workers, min_size=PARTITIONS, max_size=PARTITIONS), heard=st.booleans())
    def rebalance(self, owners: list[str], heard: bool) -> None:
        world = self._it()
        if heard:
            for worker in world.workers.values():
                worker.feed.member.set()
        world.rebalance(dict(enumerate(owners)))

    @rule(share=st.sampled_from([0.5, 0.8, 1.0]), later=st.sampled_from([False, False, False, True]))
    def compact(self, share: float, later: bool) -> None:
        if later and self.jumps < _JUMPS:
            self.jumps += 1
            self._it().loop.jumped_ms += _JUMP_MS
        for number in range(PARTITIONS):
            self._it().compact(number, share)

    @rule()
    def everything_is_folded(self) -> None:
        self.sound = False
        self._it().drain()
        self.oracle.check_drained()
        self.sound = True

    @invariant()
    def is_exact(self) -> None:
        if self.world is not None:
            self.sound = False
            self.oracle.check()
            self.sound = True

    def teardown(self) -> None:
        try:
            if self.world is not None and self.sound:
                self.everything_is_folded()
        finally:
            if self.world is not None:
                self.world.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def _settings() -> settings:
    shared: dict[str, Any] = {
        "deadline": None,
        "stateful_step_count": 40,
        "suppress_health_check": list(HealthCheck),
    }
    if _LONGER is not None:
        return settings(max_examples=int(_LONGER), **shared)
    return settings(max_examples=100, derandomize=True, database=None, **shared)


TestFailures = Failures.TestCase
TestFailures.settings = _settings()
