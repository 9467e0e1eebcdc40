"""Apache Kafka on this machine: one node or three, each of which can be killed and started again."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from app.child import Child, free_ports
from app.cluster_view import ask_cluster
from tests.kafka.jars import KafkaUnavailableError, find_java, java_available, kafka_jars
from tests.kafka.node import Door, Place, Program, format_storage, run_node, write_settings

_START_TRIES = 3
_READY_TIMEOUT_S = 60.0
_STOP_GRACE_S = 30.0
_POLL_S = 0.1


class KafkaClusterError(RuntimeError):
    """A node ended or did not answer; the message holds the end of its log."""


class KafkaCluster:
    """A KRaft cluster on loopback ports, every node broker and controller, numbered from 1.

    It ends with this process, at the latest. Node ports and data stay the same from ``start`` to ``stop``.
    """

    def __init__(
        self,
        nodes: Literal[1, 3] = 1,
        folder: Path | None = None,
        overrides: Mapping[str, str] | None = None,
        doors: Sequence[str] = (),
    ) -> None:
        """``folder``: an empty or new one for logs and data, kept at the end; by default a temporary one.

        ``overrides`` are broker settings (``server.properties``) of every node. ``doors`` names further
        listeners that every node has, see ``door``.
        """
        self.nodes = range(1, nodes + 1)
        self._kept_folder = folder
        self._overrides = dict(overrides or {})
        self._doors = tuple(doors)
        self._program: Program | None = None
        self._folder: Path | None = None
        self._places: dict[int, Place] = {}
        self._running: dict[int, Child] = {}
        self._cluster_id = _cluster_id()

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, running or not, as clients take them."""
        return ",".join(self.address(node) for node in self.nodes)

    def address(self, node: int) -> str:
        """``host:port`` of one node."""
        return self._places[node].address

    def door(self, node: int, name: str) -> Door:
        """A node's further listener; nothing listens on its advertised port unless the caller does."""
        return next(door for door in self._places[node].doors if door.name == name)

    def pid(self, node: int) -> int:
        """The process id of a running node."""
        return self._running[node].pid

    def start(self) -> None:
        """Format and start all nodes and wait until each answers and sees the others.

        Raises KafkaUnavailableError without Java, Maven or the jars, KafkaClusterError when a node fails.
        """
        self._program = _program()
        for attempt in range(_START_TRIES):
            self._folder = self._new_folder(attempt)
            try:
                self._start_in(self._folder, self._program)
                return
            except BaseException as error:
                self.stop()
                taken = isinstance(error, KafkaClusterError) and "Address already in use" in str(error)
                if not taken or attempt == _START_TRIES - 1:
                    raise

    def stop(self) -> None:
        """End all nodes at once, by SIGKILL: nobody reads this data again."""
        for child in self._running.values():
            child.kill()
        self._running.clear()
        if self._folder is not None and self._kept_folder is None:
            shutil.rmtree(self._folder)
        self._folder = None

    def kill(self, node: int) -> None:
        """End a node as a power cut does (SIGKILL)."""
        self._take_out(node).kill()

    def stop_node(self, node: int) -> None:
        """End a node in order: it hands its partitions over first, as far as another one can take them."""
        self._take_out(node).terminate(_STOP_GRACE_S)

    def start_node(self, node: int, *, wait: bool = True) -> None:
        """Start a killed or stopped node on its old ports and data.

        Without ``wait`` the caller calls ``wait_ready`` later: needed while less than a majority runs.
        """
        if self._program is None or node in self._running:
            raise ValueError(f"node {node} runs already, or the cluster was never started")
        self._running[node] = run_node(self._places[node], self._program)
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until every running node answers and sees all running ones and a controller.

        Raises KafkaClusterError after ``timeout_s`` seconds, or as soon as a node has ended.
        """
        deadline = time.monotonic() + timeout_s
        waiting = set(self._running)
        while waiting:
            waiting = {node for node in waiting if not self._sees_all(node)}
            self._check_alive()
            if waiting and time.monotonic() > deadline:
                raise KafkaClusterError(self._why(min(waiting), f"is not ready after {timeout_s:g} s"))
            if waiting:
                time.sleep(_POLL_S)

    def log_tail(self, node: int) -> str:
        """The last lines of a running node's log."""
        return self._running[node].tail()

    def _start_in(self, folder: Path, program: Program) -> None:
        ports = free_ports((2 + 2 * len(self._doors)) * len(self.nodes))
        for node in self.nodes:
            doors = tuple(Door(name, ports.pop(), ports.pop()) for name in self._doors)
            self._places[node] = Place(node, folder / f"node-{node}", ports.pop(), ports.pop(), doors)
        places = list(self._places.values())
        for place in places:
            write_settings(place, places, self._overrides)
        with ThreadPoolExecutor(len(places)) as pool:
            answers = list(pool.map(lambda at: format_storage(at, program, self._cluster_id), places))
        if any(answers):
            raise KafkaClusterError(f"Kafka's storage cannot be formatted: {next(filter(None, answers))}")
        for node in self.nodes:
            self.start_node(node, wait=False)
        self.wait_ready()

    def _take_out(self, node: int) -> Child:
        if node not in self._running:
            raise ValueError(f"node {node} is not running")
        return self._running.pop(node)

    def _new_folder(self, attempt: int) -> Path:
        if self._kept_folder is None:
            return Path(tempfile.mkdtemp(prefix="offertide-kafka-"))
        return self._kept_folder / f"try-{attempt}" if attempt else self._kept_folder

    def _sees_all(self, node: int) -> bool:
        view = ask_cluster(self.address(node))
        if view is None or view.cluster_id != self._cluster_id:
            return False
        return view.controller_id >= 0 and view.brokers >= set(self._running)

    def _check_alive(self) -> None:
        for node, child in self._running.items():
            if child.returncode is not None:
                raise KafkaClusterError(self._why(node, f"ended with code {child.returncode}"))

    def _why(self, node: int, what: str) -> str:
        return f"Kafka node {node} {what}. The end of its log:\n{self.log_tail(node) or '(empty)'}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _program() -> Program:
    missing = java_available()
    java = find_java()
    if missing or java is None:
        raise KafkaUnavailableError(missing or "Java is not installed")
    return Program(java, kafka_jars())


def _cluster_id() -> str:
    raw = bytearray(uuid.uuid4().bytes)
    raw[0] &= 0x7F  # else it may begin with a dash, which Kafka's own command line takes for an option
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
