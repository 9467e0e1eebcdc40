"""Two workers, their disks and the log they share; and who owns what."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

from structlog.testing import capture_logs

from config.metrics import Metrics
from config.topics import DEAD_LETTERS, DECISIONS, EVIDENCE, REKEYED, SCOREBOARD, SOURCE_TOPICS
from tables.layout import CONTROL_KEY
from tables.partition import Partition
from tests.log_model.clients import Network, clients_on
from tests.log_model.clock import VirtualLoop
from tests.log_model.log import Log, Unwritten
from tests.log_model.shop import CHANGELOG, PARTITIONS, TOPICS, snapshot
from tests.log_model.worker import Worker

NAMES = ("a:1", "b:1")

#: What a fault may strike.
STRIKES = {
    "changelog": (CHANGELOG,),
    "decisions": (TOPICS[DECISIONS],),
    "derived": (TOPICS[REKEYED], TOPICS[DEAD_LETTERS]),
    "shared": (TOPICS[EVIDENCE], TOPICS[SCOREBOARD]),
}

#: Enough for what does not wait for anything; less than an idle partition's second.
_SETTLED_S = 0.1


class World:
    """Everything outside of the product, and its processes.

    Args:
        folder: for the disks.
        batch_bytes: how much of a changelog batch one Kafka batch holds, so that larger ones go out in parts.
        budget: pushes to all customers together, None without a bound.
    """

    def __init__(self, folder: Path, metrics: Metrics, batch_bytes: int, budget: int | None = None) -> None:
        self.budget = budget
        self._catalogue = snapshot(budget)
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(lambda loop, context: None)
        self.log = Log()
        self.assignment: dict[int, str] = {}
        self.workers: dict[str, Worker] = {}
        self.ended: list[Worker] = []
        self._folder = folder
        self._metrics = metrics
        self._networks: dict[str, Network] = {}
        self._incarnations = itertools.count(1)
        self._stack = ExitStack()
        self._stack.callback(self.loop.close)
        patch = self._stack.enter_context(clients_on(self._networks))
        self._stack.enter_context(capture_logs())
        clock = SimpleNamespace(perf_counter=self.loop.perf_counter, monotonic=self.loop.monotonic)
        patch.setattr("agents.fold_loop.time", clock)
        patch.setattr("agents.host.time", clock)
        patch.setattr("agents.host._wall_ms", self.loop.wall_ms)
        patch.setattr("agents.host.boot_s", self.loop.monotonic)
        patch.setattr("tables.changelog.BATCH_BYTES", batch_bytes)
        patch.setattr("tables.changelog.TAIL_RECORDS", 3)
        patch.setattr("tables.changelog.RECOVERY_RECORDS", 4)
        patch.setattr("tables.publisher.BATCH_BYTES", 300)
        try:
            for name in NAMES:
                self.start(name)
            self.rebalance(dict.fromkeys(range(PARTITIONS), NAMES[0]))
        except BaseException:
            # Nobody has this world to close: its clients must not stay in place of the real ones.
            self._stack.close()
            raise

    def close(self) -> None:
        for name in list(self.workers):
            self.kill(name)
        self._stack.close()

    def start(self, name: str) -> None:
        """A new process on the disk of the one before."""
        # A producer of the process before may have something under way still: it is another client.
        network = Network(f"{name}-{next(self._incarnations)}", self.log, self.loop)
        self._networks[network.name] = network
        origin = str(len(self._networks))
        self.workers[name] = Worker(
            network, self.disk(name), self.log, self.loop, self._catalogue, self._metrics, origin
        )

    def disk(self, name: str) -> Path:
        return self._folder / name.partition(":")[0]

    def kill(self, name: str) -> None:
        worker = self.workers.pop(name)
        worker.kill()
        self.log.lose_flights(worker.network.name, keep=1)
        self.ended.append(worker)

    def rebalance(self, assignment: dict[int, str]) -> None:
        """The group's members give up what they have, then take what is theirs now."""
        self.assignment = assignment
        members = {name: worker for name, worker in self.workers.items() if worker.confirmed}
        for worker in members.values():
            self._finish(worker)
        for name, worker in members.items():
            if worker.alive:
                worker.take([number for number, owner in assignment.items() if owner == name])
        self.settle()

    def _finish(self, worker: Worker) -> None:
        releasing = self.loop.create_task(worker.release())
        while not releasing.done() and worker.alive:
            self.loop.pass_s(1)
        releasing.cancel()

    def settle(self, seconds: float = _SETTLED_S) -> None:
        """Let everything run that is due; whoever died meanwhile is gone."""
        self.loop.pass_s(seconds)
        for name in [name for name, worker in self.workers.items() if not worker.alive]:
            self.kill(name)

    def owned(self, number: int) -> tuple[Worker, Partition] | None:
        """The partition's one true owner, when it may answer."""
        worker = self.workers.get(self.assignment.get(number, ""))
        partition = None if worker is None else worker.ready(number)
        return None if worker is None or partition is None else (worker, partition)

    def produce(self, topic: str, number: int, record: Unwritten) -> int:
        """An outside producer's write; returns its offset."""
        return self.log.at(TOPICS[topic], number).append([record], None)

    def compact(self, number: int, share: float, torn_too: bool = False) -> None:
        """Clean a share of a changelog; by default nothing behind its last control record.

        A torn batch that is cleaned before it was taken back is a known gap, see `test_known_gaps`.
        """
        log = self.log.at(CHANGELOG, number)
        whole = max((record.offset + 1 for record in log.kept if record.key == CONTROL_KEY), default=0)
        log.compact(int((log.end if torn_too else whole) * share), self.loop.wall_ms())

    def heal(self) -> None:
        """Everything works again, and everybody has a part."""
        for client, place in list(self.log.flights):
            self.log.land_late(client, place)
        for name in NAMES:
            if name not in self.workers:
                self.start(name)
            self.workers[name].network.fault = None
            self.workers[name].feed.member.set()
        self.rebalance({number: NAMES[number % len(NAMES)] for number in range(PARTITIONS)})

    def drain(self) -> None:
        """Heal, then fold and publish everything there is.

        Raises:
            AssertionError: it does not come to an end.
        """
        self.heal()
        for _ in range(40):
            self.settle(2.0)
            if self._drained():
                return
            for name, worker in self.workers.items():
                for number in [number for number, owner in self.assignment.items() if owner == name]:
                    for topic in range(len(SOURCE_TOPICS)):
                        self.loop.run(worker.deliver(number, topic, 1_000, 0))
        stuck = [(one.number, one.reason) for worker in self.workers.values() for one in worker.partitions]
        raise AssertionError(f"it does not come to an end: {stuck}")

    def _drained(self) -> bool:
        for number in range(PARTITIONS):
            owned = self.owned(number)
            if owned is None:
                return False
            worker, partition = owned
            ends = [worker.feed.end(topic, number) for topic in range(len(SOURCE_TOPICS))]
            counters = partition.counters
            untold = counters.own_untold or counters.sums_untold
            if partition.positions != ends or partition.dirty or len(partition.outbox) or untold:
                return False
        return True
