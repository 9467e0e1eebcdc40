"""Doing to the stage what the schedule says, and noting when it was done.

Rules:

1.  A fault ends healed: what was killed runs, what was frozen goes on, what was cut is joined.
2.  A target whose fault takes longer than planned (a storm's stops take what they take) suffers the next one
    afterwards.
3.  A worker that ended by itself meanwhile is started again, as its supervisor would: it may end when Kafka
    is away for long. How often that was is counted.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from tests.kafka.cluster import KafkaClusterError
from tests.stress.cuts import CUTS, Cut
from tests.stress.schedule import Fault
from tests.stress.stage import Stage, Worker

_SUPERVISE_S = 0.5
_STORM_PAUSE_S = 1.5
_NODE_STARTS = 5


@dataclass
class Suffered:
    """A fault as it happened, in seconds of the monotonic clock; `error` when it could not be done."""

    fault: Fault
    start_s: float
    end_s: float = 0.0
    error: str = ""


class Trouble:
    """Plays a schedule on a stage."""

    def __init__(self, stage: Stage, schedule: tuple[Fault, ...]) -> None:
        self._stage = stage
        self._schedule = schedule
        self.suffered: list[Suffered] = []
        #: Workers that are down because a fault says so.
        self._out: set[int] = set()
        self._one_at_a_time: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Workers that ended although nobody ended them: number and time, monotonic.
        self.gave_up: list[tuple[int, float]] = []

    async def run(self, started_s: float) -> None:
        """Play it; `started_s` is the monotonic time of its second 0."""
        async with asyncio.TaskGroup() as group:
            for fault in self._schedule:
                group.create_task(self._suffer(fault, started_s))

    async def supervise(self) -> None:
        """Start workers that ended by themselves, until cancelled."""
        while True:
            for worker in self._stage.workers:
                if not worker.running and worker.number not in self._out:
                    self.gave_up.append((worker.number, time.monotonic()))
                    worker.start()
            await asyncio.sleep(_SUPERVISE_S)

    async def _suffer(self, fault: Fault, started_s: float) -> None:
        await asyncio.sleep(max(started_s + fault.at_s - time.monotonic(), 0))
        async with self._one_at_a_time[fault.who]:
            await self._now(fault, started_s)

    async def _now(self, fault: Fault, started_s: float) -> None:
        suffered = Suffered(fault, time.monotonic())
        self.suffered.append(suffered)
        print(f"{time.monotonic() - started_s:6.1f} s  {fault.kind} {fault.who}", file=sys.stderr, flush=True)
        try:
            await self._action(fault)(fault)
        except Exception as error:  # noqa: BLE001 - the run goes on and says so at the end
            suffered.error = repr(error)
            print(f"        {fault.kind} {fault.who} failed: {error!r}", file=sys.stderr, flush=True)
        finally:
            suffered.end_s = time.monotonic()

    def _action(self, fault: Fault) -> Callable[[Fault], Awaitable[None]]:
        if fault.kind in CUTS:
            return self._cut
        return {
            "kill": self._kill,
            "wipe": self._kill,
            "freeze": self._freeze,
            "pause": self._freeze,
            "storm": self._storm,
            "disk-full": self._disk,
            "disk-slow": self._disk,
            "node-kill": self._node,
            "node-restart": self._node,
        }[fault.kind]

    def _worker(self, fault: Fault) -> Worker:
        return self._stage.workers[fault.target]

    async def _kill(self, fault: Fault) -> None:
        worker = self._worker(fault)
        self._out.add(worker.number)
        try:
            await worker.kill()
            if fault.kind == "wipe":
                await asyncio.to_thread(worker.wipe)
            await asyncio.sleep(fault.lasts_s)
        finally:
            worker.start()
            self._out.discard(worker.number)

    async def _freeze(self, fault: Fault) -> None:
        worker = self._worker(fault)
        worker.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            worker.signal(signal.SIGCONT)

    async def _storm(self, fault: Fault) -> None:
        worker = self._worker(fault)
        self._out.add(worker.number)
        try:
            for _ in range(fault.amount):
                await worker.stop()
                worker.start()
                await asyncio.sleep(_STORM_PAUSE_S)
        finally:
            self._out.discard(worker.number)

    async def _cut(self, fault: Fault) -> None:
        worker = self._worker(fault)
        await worker.sever(cast(Cut, fault.kind))
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            await worker.rejoin()

    async def _disk(self, fault: Fault) -> None:
        disk = self._worker(fault).disk
        if fault.kind == "disk-full":
            disk.fill()
        else:
            disk.slow(fault.amount)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            disk.heal()

    async def _node(self, fault: Fault) -> None:
        cluster = self._stage.cluster
        end = cluster.kill if fault.kind == "node-kill" else cluster.stop_node
        await asyncio.to_thread(end, fault.target)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            await self._start_node(fault.target)

    async def _start_node(self, node: int) -> None:
        """Start a node again; another program may have taken one of its ports for a moment."""
        cluster = self._stage.cluster
        for left in reversed(range(_NODE_STARTS)):
            try:
                await asyncio.to_thread(cluster.start_node, node)
            except KafkaClusterError as error:
                if not left or "Address already in use" not in str(error):
                    raise
                await asyncio.to_thread(cluster.kill, node)
                await asyncio.sleep(1.0)
            else:
                return
