"""The demo's Offertide: a broker in memory or one that runs already, topics, catalogue, one worker."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path

import aiohttp

from app.child import Child, free_ports
from app.demo.watching import DemoError, Parts, while_alive
from app.embedded import EmbeddedBroker
from app.provision import ensure_topics, wait_for_broker
from config.settings import Settings
from tables.catalogue_document import Entry, read_document
from tables.catalogue_writer import CatalogueWriter

PARTITIONS = 8
USUAL_PORT = 8080
#: How long the worker may take to be ready, in seconds.
READY_S = 60.0
#: How long it may take to stop, in seconds, before it is killed. What it folded is on the log, so a kill
#: loses nothing, and somebody waits at a terminal.
STOP_S = 2.2


class EmbeddedPart:
    """The embedded broker as a process to watch."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self._broker.returncode

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self._broker.log_tail().splitlines()[-lines:])


@asynccontextmanager
async def demo_settings(broker: str | None, port: int | None) -> AsyncIterator[tuple[Settings, Parts]]:
    """Settings for the demo's worker, and the embedded broker they name unless one is given.

    Raises:
        DemoError: the port cannot be used.
        app.embedded.EmbeddedBrokerError: it cannot run here; the message points to compose.
    """
    async with AsyncExitStack() as stack:
        web_port = _free_port() if port is None else _usable(port)
        embedded = broker is None
        parts: Parts = []
        if broker is None:
            started = await stack.enter_async_context(EmbeddedBroker())
            broker, parts = started.bootstrap, [("the broker in memory", EmbeddedPart(started))]
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="offertide-demo-"))
        settings = Settings(
            app_id="offertide-demo",
            auth_mode="sandbox",
            broker=broker,
            partitions=PARTITIONS,
            data_dir=Path(folder),
            web_port=web_port,
            session_timeout_ms=2_000 if embedded else 10_000,
            heartbeat_interval_ms=600 if embedded else 1_000,
            rebalance_timeout_ms=2_000 if embedded else 10_000,
            broker_start_timeout_ms=15_000,
            idempotent_producer=not embedded,
            log_format="json",
        )
        yield settings, parts


def _free_port() -> int:
    """The usual port when nobody has it, else any."""
    return USUAL_PORT if _why_not(USUAL_PORT) is None else free_ports(1)[0]


def _usable(port: int) -> int:
    why = _why_not(port)
    if why is not None:
        raise DemoError(f"port {port} cannot be used ({why}): give another --port, or none for a free one")
    return port


def _why_not(port: int) -> str | None:
    """What keeps the server from this port; None when nothing does."""
    with socket.socket() as probe:
        # As the server itself does: connections that linger from an earlier demo do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
    return None


async def import_sample(settings: Settings, tenant_id: str) -> Sequence[Entry]:
    """Create the topics and import the sample catalogue; returns its entities.

    Raises:
        app.provision.ProvisionError: no broker, or topics that do not fit.
    """
    await wait_for_broker(settings)
    await ensure_topics(settings)
    text = resources.files("config").joinpath("samples/music-shop.yaml").read_bytes()
    entries = read_document(text).entries
    await CatalogueWriter(settings).import_tenant(tenant_id, entries, by="demo")
    return entries


@asynccontextmanager
async def running_worker(settings: Settings, parts: Parts) -> AsyncIterator[tuple[str, Parts]]:
    """A worker process, ready; gives its URL and all that runs now, and stops the worker in the end.

    Raises:
        DemoError: it or what it needs died, or it was not ready in time.
    """
    log = settings.data_dir / "worker.log"
    worker = Child([sys.executable, "-m", "app.cli", "worker"], log, settings.environment(os.environ))
    try:
        running = [*parts, ("the worker", worker)]
        await while_alive(running, _ready(settings.worker_url, worker))
        yield settings.worker_url, running
    finally:
        # Without a broker it could not take its leave. This blocks the loop: nothing else needs it any more,
        # and a stop that comes now cannot cut it short, which would end the broker under the worker.
        worker.terminate(STOP_S if all(part.returncode is None for _, part in parts) else 0)


async def _ready(url: str, worker: Child) -> None:
    deadline = time.monotonic() + READY_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() < deadline:
            if await _is_ready(session, url):
                return
            await asyncio.sleep(0.1)
    raise DemoError(f"the worker was not ready in {READY_S:.0f} s; the end of its log:\n{worker.tail(5)}")


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/ready") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False  # not listening yet
