"""The demo's Offertide: a broker in memory or one that runs already, topics, catalogue, one worker."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path

import aiohttp

from app.child import Child, free_ports
from app.embedded import EmbeddedBroker
from app.provision import ensure_topics, wait_for_broker
from config.settings import Settings
from tables.catalogue_document import read_document
from tables.catalogue_writer import CatalogueWriter

PARTITIONS = 8
USUAL_PORT = 8080
#: How long the worker may take to be ready, in seconds.
READY_S = 60.0
STOP_S = 10.0


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


@asynccontextmanager
async def demo_settings(broker: str | None, port: int | None) -> AsyncIterator[Settings]:
    """Settings for the demo's worker, and the embedded broker they name unless one is given.

    Raises:
        app.embedded.EmbeddedBrokerError: it cannot run here; the message points to compose.
    """
    async with AsyncExitStack() as stack:
        embedded = broker is None
        if broker is None:
            broker = (await stack.enter_async_context(EmbeddedBroker())).bootstrap
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="offertide-demo-"))
        yield Settings(
            app_id="offertide-demo",
            broker=broker,
            partitions=PARTITIONS,
            data_dir=Path(folder),
            web_port=port or _free_port(),
            session_timeout_ms=2_000 if embedded else 10_000,
            heartbeat_interval_ms=600 if embedded else 1_000,
            rebalance_timeout_ms=2_000 if embedded else 10_000,
            broker_start_timeout_ms=15_000,
            idempotent_producer=not embedded,
            log_format="json",
        )


def _free_port() -> int:
    """The usual port when nobody has it, else any."""
    with socket.socket() as probe:
        # As the server itself does: connections that linger from an earlier demo do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return free_ports(1)[0]
    return USUAL_PORT


async def import_sample(settings: Settings, tenant_id: str) -> int:
    """Create the topics and import the sample catalogue; returns how many entities it has.

    Raises:
        app.provision.ProvisionError: no broker, or topics that do not fit.
    """
    await wait_for_broker(settings)
    await ensure_topics(settings)
    text = resources.files("config").joinpath("samples/music-shop.yaml").read_bytes()
    entries = read_document(text).entries
    await CatalogueWriter(settings).import_tenant(tenant_id, entries, by="demo")
    return len(entries)


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[str]:
    """A worker process, ready; gives its URL, and stops it in the end.

    Raises:
        DemoError: it died or was not ready in time; the message has the end of its log.
    """
    log = settings.data_dir / "worker.log"
    worker = Child([sys.executable, "-m", "app.cli", "worker"], log, settings.environment(os.environ))
    try:
        await _ready(settings.worker_url, worker)
        yield settings.worker_url
    finally:
        await asyncio.to_thread(worker.terminate, STOP_S)


async def _ready(url: str, worker: Child) -> None:
    deadline = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            if worker.returncode is not None:
                raise DemoError(f"the worker ended with code {worker.returncode}:\n{worker.tail()}")
            try:
                async with session.get(f"{url}/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # not listening yet
            await asyncio.sleep(0.1)
    raise DemoError(f"the worker was not ready in {READY_S:.0f} s:\n{worker.tail()}")
