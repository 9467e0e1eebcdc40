"""What a run is played on: Kafka's nodes, the workers, and a gate between each of both.

Rules:

1.  A worker knows Kafka only through its own gates: every node has one listener for each worker, which
    advertises the gate's port. The harness itself talks to the nodes directly.
2.  Everything ends with this process, also when that is killed.
3.  A worker's data is in its own folder and survives its kill; its log and its disk's control file lie
    beside.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, Literal, Self, cast

from app.child import Child, free_ports
from config.settings import Settings
from tests.kafka.cluster import KafkaCluster
from tests.stress.cuts import Cut, Gate
from tests.stress.disk import Disk
from tests.stress.evidence import Stop
from tests.stress.schedule import SESSION_S

PARTITIONS = 8
APP_ID = "stress"
#: A worker that got SIGTERM is killed after so many seconds.
STOP_S = 40.0


class Worker:
    """One `offertide worker`: its process, disk and gates."""

    def __init__(self, number: int, settings: Settings, log: Path, disk: Disk, gates: list[Gate]) -> None:
        self.number = number
        self.settings = settings
        self.url = settings.worker_url
        self.log = log
        self.disk = disk
        self.gates = gates
        self._child: Child | None = None
        self._started_s = 0.0
        self.stops: list[Stop] = []

    def start(self) -> None:
        """Start the process, which must not be running."""
        environment = self.settings.environment(os.environ) | self.disk.environment
        self._started_s = time.monotonic()
        self._child = Child([sys.executable, "-m", "app.cli", "worker"], self.log, environment)

    async def kill(self) -> None:
        """kill -9"""
        child, self._child = self._child, None
        if child is not None:
            await asyncio.to_thread(child.kill)

    async def stop(self) -> None:
        """SIGTERM, and its end. One that does not end in time is killed, which its code in `stops` says."""
        child, self._child = self._child, None
        if child is not None:
            asked_s = time.monotonic()
            await asyncio.to_thread(child.terminate, STOP_S)
            code = child.returncode
            up_s = asked_s - self._started_s
            self.stops.append(Stop(self.number, asked_s, time.monotonic(), 0 if code is None else code, up_s))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal and go on."""
        if self._child is not None and self._child.returncode is None:
            os.kill(self._child.pid, number)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    def wipe(self) -> None:
        """Remove its data, but for the spool, which is nowhere else; it must not be running."""
        for path in (self.settings.data_dir / self.settings.app_id).glob("*"):
            if path.name != "spool":
                shutil.rmtree(path, ignore_errors=True)

    async def sever(self, cut: Cut) -> None:
        """Cut it off from all nodes of Kafka."""
        for gate in self.gates:
            await gate.sever(cut)

    async def rejoin(self) -> None:
        """Undo `sever`."""
        for gate in self.gates:
            await gate.heal()


class Stage:
    """Kafka and the workers of one run, in one folder."""

    def __init__(self, folder: Path, library: Path | None, nodes: int, workers: int) -> None:
        self.folder = folder
        self._library = library
        # One door more than workers: of the worker that rebuilds everything at the end.
        self._doors = [f"W{number}" for number in range(workers + 1)]
        self.cluster = KafkaCluster(
            nodes=cast(Literal[1, 3], nodes), folder=folder / "kafka", doors=self._doors
        )
        self._worker_count = workers
        self._gates: list[Gate] = []
        self.workers: list[Worker] = []

    async def __aenter__(self) -> Self:
        (self.folder / "workers").mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self.cluster.start)
        try:
            self.workers = [await self._worker(number) for number in range(self._worker_count)]
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            await worker.kill()
        for gate in self._gates:
            await gate.close()
        await asyncio.to_thread(self.cluster.stop)

    async def fresh_worker(self) -> Worker:
        """One more worker, with an empty folder; not started, not among `workers`, its owner ends it."""
        return await self._worker(self._worker_count)

    @property
    def bootstrap(self) -> list[str]:
        """All nodes, directly."""
        return self.cluster.bootstrap.split(",")

    def settings(self, **changes: Any) -> Settings:
        """Settings of the harness itself, which reaches the nodes directly."""
        nodes = len(self.cluster.nodes)
        values: dict[str, Any] = {
            "app_id": APP_ID,
            "auth_mode": "sandbox",
            "broker": self.cluster.bootstrap,
            "partitions": PARTITIONS,
            "replicas": nodes,
            "min_insync_replicas": 2 if nodes >= 3 else 1,
            "data_dir": self.folder / "none",
            "session_timeout_ms": round(SESSION_S * 1000),
            "heartbeat_interval_ms": 500,
            "rebalance_timeout_ms": round(SESSION_S * 1000),
            "publish_timeout_ms": 5_000,
            "log_format": "json",
        }
        return Settings(**{**values, **changes})

    async def _worker(self, number: int) -> Worker:
        doors = [self.cluster.door(node, f"W{number}") for node in self.cluster.nodes]
        gates = [Gate(door.advertised_port, door.port) for door in doors]
        for gate in gates:
            await gate.open()
        self._gates += gates
        data = self.folder / "workers" / f"{number}" / "data"
        settings = self.settings(
            broker=",".join(door.address for door in doors), data_dir=data, web_port=free_ports(1)[0]
        )
        data.parent.mkdir(parents=True, exist_ok=True)
        disk = Disk(self._library, data, data.parent / "disk")
        return Worker(number, settings, data.parent / "worker.log", disk, gates)
