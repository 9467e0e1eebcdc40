"""Several workers under a supervisor: their ports and folders, their ends, and their supervisor's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.child import free_ports
from app.supervisor import STOP_S, next_wait_s
from app.worker import STOP_S as WORKER_STOP_S
from config.settings import Settings
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.kafka.processes import runs, wait_gone
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop

ROOT = Path(__file__).parents[2]


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


# --- Workers on Kafka ---


class Fleet:
    """Two workers under a supervisor, and a client of each."""

    def __init__(self, supervisor: WorkerProcess, clients: Sequence[Client]) -> None:
        self.supervisor = supervisor
        self.clients = clients

    def events(self) -> list[dict[str, Any]]:
        return _events(self.supervisor.log.read_text())

    def pids(self) -> list[int]:
        """Every worker process there ever was, in the order of their starts."""
        return [event["pid"] for event in self.events() if event["event"] == "worker process started"]

    async def owned(self) -> list[int]:
        """How many partitions each worker is ready for; none while it does not answer."""
        counts = []
        for client in self.clients:
            try:
                status, state = await client.get("/ready")
            except aiohttp.ClientError:
                status, state = 0, {}
            counts.append(state["partitionsReady"] if status == 200 else 0)
        return counts

    async def shared_out(self) -> None:
        """Wait until both are ready, and have all partitions between them."""

        async def all_ready() -> bool:
            counts = await self.owned()
            return all(counts) and sum(counts) == self.supervisor.settings.partitions

        await eventually(all_ready, 60, "both workers ready")


@asynccontextmanager
async def _fleet(cluster: KafkaCluster, app_id: str, folder: Path) -> AsyncIterator[Fleet]:
    port = _free_pair()
    settings = settings_for(Broker(cluster.bootstrap, "kafka"), app_id, folder, web_port=port)
    await import_shop(settings)
    async with AsyncExitStack() as stack:
        supervisor = stack.enter_context(WorkerProcess(settings, "--workers", "2"))
        urls = [f"http://127.0.0.1:{port + number}" for number in range(2)]
        clients = [await stack.enter_async_context(Client(url, TENANT)) for url in urls]
        fleet = Fleet(supervisor, clients)
        await fleet.shared_out()
        yield fleet


def _free_pair() -> int:
    """A free port whose next one is free too."""
    while True:
        port = free_ports(1)[0]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port + 1)) != 0:
                return port


@pytest.mark.kafka
@pytest.mark.parametrize("who_is_signalled", ["the supervisor", "all, as systemd does"])
async def test_workers_share_the_partitions_and_stop_cleanly(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path, who_is_signalled: str
) -> None:
    async with _fleet(kafka_cluster, app_id, tmp_path) as fleet:
        stores = [len(list((tmp_path / f"worker-{number}").rglob("*.db"))) for number in range(2)]
        assert all(stores)
        started = [event for event in fleet.events() if event["event"] == "worker started"]
        ports = {event["worker"]: int(event["url"].rpartition(":")[2]) for event in started}
        assert ports == {number: fleet.supervisor.settings.web_port + number for number in range(2)}
        if who_is_signalled != "the supervisor":
            for pid in fleet.pids():
                os.kill(pid, signal.SIGTERM)  # the supervisor sends another one
        assert await asyncio.to_thread(fleet.supervisor.stop) == 0, fleet.supervisor.tail()
        assert not any(runs(pid) for pid in fleet.pids())
        assert len(fleet.pids()) == 2
        assert [event["event"] for event in fleet.events()].count("worker stopped") == 2


@pytest.mark.kafka
async def test_a_killed_worker_comes_back_and_a_killed_supervisor_takes_all_along(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with _fleet(kafka_cluster, app_id, tmp_path) as fleet:
        killed = fleet.pids()[1]
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: _started(fleet, 3), 20, "the worker is started again")
        (ended,) = [event for event in fleet.events() if event["event"].startswith("worker ended")]
        assert (ended["worker"], ended["signal"], ended["in_s"]) == (1, "SIGKILL", 1.0)
        await fleet.shared_out()
        now = [pid for pid in fleet.pids() if pid != killed]
        fleet.supervisor.kill()
        assert [wait_gone(pid) for pid in now] == [True, True]


async def _started(fleet: Fleet, count: int) -> bool:
    return len(fleet.pids()) == count


# --- Programs in the workers' place ---


class Supervised:
    """A supervisor, in a process of its own, of a Python program in the workers' place."""

    def __init__(self, body: str, folder: Path, workers: int = 2, stop_s: float = 10.0) -> None:
        script = (
            "import sys\n"
            "from app.supervisor import Supervisor\n"
            "from config.logs import configure_logs\n"
            "from config.settings import Settings\n"
            "settings = Settings(log_format='json')\n"
            "configure_logs(settings)\n"
            f"command = [sys.executable, '-c', {body!r}]\n"
            f"sys.exit(Supervisor([settings] * {workers}, command, {stop_s}).run())\n"
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            command = [sys.executable, "-c", script]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    @property
    def output(self) -> str:
        return self._log.read_text()

    def named(self, name: str) -> list[dict[str, Any]]:
        """The log's events of that name."""
        return [event for event in _events(self.output) if event["event"] == name]

    def wait_for(self, text: str, count: int, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while self.output.count(text) < count:
            assert time.monotonic() < deadline, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 8.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    @property
    def left(self) -> list[int]:
        """Workers that still run."""
        return [event["pid"] for event in self.named("worker process started") if runs(event["pid"])]


@contextmanager
def _supervised(body: str, folder: Path, workers: int = 2, stop_s: float = 10.0) -> Iterator[Supervised]:
    supervised = Supervised(body, folder, workers, stop_s)
    try:
        yield supervised
    finally:
        supervised.process.kill()
        supervised.process.wait()


OBEDIENT = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "print('worker', sys.argv[1], 'is up', flush=True)\n"
    "time.sleep(60)"
)
DEAF = OBEDIENT.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
UNCLEAN = OBEDIENT.replace("sys.exit(0)", "sys.exit(1)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_ends_all(number: signal.Signals, tmp_path: Path) -> None:
    with _supervised(OBEDIENT, tmp_path, workers=3) as supervised:
        supervised.wait_for("is up", 3)
        # Each in a session of its own: a terminal's Ctrl-C goes to the supervisor alone.
        assert [os.getsid(pid) for pid in supervised.left] == supervised.left
        assert supervised.end(number) == 0
        assert supervised.left == []


def test_an_unclean_end_of_one_shows_in_the_exit_code(tmp_path: Path) -> None:
    with _supervised(UNCLEAN, tmp_path) as supervised:
        supervised.wait_for("is up", 2)
        assert supervised.end() == 1
        assert supervised.left == []


def test_whoever_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    with _supervised(DEAF, tmp_path, stop_s=0.5) as supervised:
        supervised.wait_for("is up", 2)
        assert supervised.end() == 1
        assert supervised.left == []


def test_a_second_signal_kills_all_at_once(tmp_path: Path) -> None:
    with _supervised(DEAF, tmp_path, stop_s=60) as supervised:
        supervised.wait_for("is up", 2)
        with pytest.raises(subprocess.TimeoutExpired):
            supervised.end(timeout_s=0.5)
        assert supervised.end(timeout_s=3) == 1
        assert supervised.left == []


def test_settings_that_a_worker_refuses_stop_all(tmp_path: Path) -> None:
    refusing = f"import sys, time\nif sys.argv[1] == '1': time.sleep(0.5); sys.exit(2)\n{OBEDIENT}"
    with _supervised(refusing, tmp_path) as supervised:
        assert supervised.process.wait(8) == 2
        assert len(supervised.named("worker process started")) == 2
        assert supervised.left == []


def test_ends_are_said_and_waits_grow_and_a_stop_cuts_them_short(tmp_path: Path) -> None:
    with _supervised("raise SystemExit(1)", tmp_path, workers=1) as supervised:
        supervised.wait_for("starting it again", 3)  # after 1 s and 2 s; the next start is 4 s away
        ended = supervised.named("worker ended, starting it again")
        assert [(event["exit_code"], event["in_s"]) for event in ended] == [(1, 1.0), (1, 2.0), (1, 4.0)]
        supervised.wait_for("no worker is running", 3)
        assert supervised.end(timeout_s=2) == 0
        assert len(supervised.named("worker process started")) == 3


@pytest.mark.parametrize(
    ("waited_s", "ran_s", "expected_s"),
    [
        (0, 0, 1),
        (1, 0, 2),
        (2, 59.9, 4),
        (16, 0, 30),
        (30, 0, 30),
        (30, 60, 1),
        (1, 3_600, 1),
    ],
)
def test_the_wait_doubles_and_begins_anew_after_a_minute(
    waited_s: float, ran_s: float, expected_s: float
) -> None:
    assert next_wait_s(waited_s, ran_s) == expected_s


def test_workers_may_take_the_time_they_need_to_stop() -> None:
    assert STOP_S > WORKER_STOP_S


# --- What an operator is told ---


def _offertide_worker(settings: Settings, workers: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", "worker", "--workers", workers]
    env = settings.environment(os.environ) | variables
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=env, check=False)


def test_a_taken_port_is_named_before_any_worker_starts(tmp_path: Path) -> None:
    port = _free_pair()
    with socket.create_server(("127.0.0.1", port + 1)):
        done = _offertide_worker(Settings(auth_mode="sandbox", web_port=port, data_dir=tmp_path), "2")
    assert done.returncode == 1
    reason = f"127.0.0.1:{port + 1} (OFFERTIDE_WEB_PORT) is taken by another process: free it, or set another"
    assert done.stderr == f"the workers cannot start: {reason}\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _offertide_worker(
        Settings(auth_mode="sandbox", web_port=_free_pair(), data_dir=tmp_path / "file"), "2"
    )
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("workers", ["0", "65", "many"])
def test_a_bad_number_of_workers_is_refused(workers: str, tmp_path: Path) -> None:
    done = _offertide_worker(Settings(auth_mode="sandbox", data_dir=tmp_path), workers)
    assert done.returncode == 2
    assert "--workers" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WEB_PORT", "65535"), ("ADVERTISED_URL", "http://offers.example"), ("PARTITIONS", "none")],
)
def test_wrong_settings_are_refused(variable: str, value: str, tmp_path: Path) -> None:
    done = _offertide_worker(
        Settings(auth_mode="sandbox", data_dir=tmp_path), "2", **{f"OFFERTIDE_{variable}": value}
    )
    assert done.returncode == 2
    (_, problem) = done.stderr.splitlines()
    assert problem.startswith(f"  OFFERTIDE_{variable}: {value!r}") or f"{variable}: {value} given" in problem
