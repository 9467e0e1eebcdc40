"""Workers as processes, and what tests ask of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiokafka import AIOKafkaProducer

from app.child import free_ports
from app.worker import OffertideApp, create_app
from config.settings import Settings
from config.topics import EVENTS, topic_names
from tests.kafka.broker import Broker


def settings_for(broker: Broker, app_id: str, data_dir: Path, **overrides: Any) -> Settings:
    """Settings of a worker on a test's broker: short time-outs, few partitions, a free port."""
    embedded = broker.kind == "embedded"
    values: dict[str, Any] = {
        "app_id": app_id,
        "auth_mode": "sandbox",
        "broker": broker.bootstrap,
        "partitions": 8,
        "data_dir": data_dir,
        "web_port": free_ports(1)[0],
        "session_timeout_ms": 2_000 if embedded else 6_000,
        "heartbeat_interval_ms": 500,
        "rebalance_timeout_ms": 2_000 if embedded else 6_000,
        "publish_timeout_ms": 5_000,
        "idempotent_producer": not embedded,
        "log_format": "json",
    }
    return Settings(**{**values, **overrides})


class WorkerProcess:
    """One `offertide worker`, as an operator runs it. Its log goes to a file in the data folder."""

    def __init__(
        self, settings: Settings, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings
        self._options = options
        self._environment = dict(environment or {})
        self.url = f"http://127.0.0.1:{settings.web_port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.log = settings.data_dir / f"worker-{settings.web_port}.log"

    def start(self) -> None:
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "worker", *self._options],
                env=self.settings.environment(os.environ) | self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9"""
        self._signal(signal.SIGKILL)

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; returns the exit code."""
        return self._signal(signal.SIGTERM, timeout_s)

    def _signal(self, number: int, timeout_s: float = 30.0) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"worker did not stop in {timeout_s} s:\n{self.tail()}") from None

    def signal(self, number: int) -> None:
        """Send a signal and go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """The exit code of a worker that ends by itself.

        Raises:
            subprocess.TimeoutExpired: it does not.
        """
        assert self._process is not None
        return self._process.wait(timeout_s)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Client:
    """HTTP to workers, as one tenant."""

    def __init__(self, url: str, tenant: str = "shop") -> None:
        self.url = url
        self.tenant = tenant
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=20)
        connector = aiohttp.TCPConnector(limit=300)
        self._session = aiohttp.ClientSession(
            timeout=timeout, connector=connector, headers={"X-Tenant-Id": self.tenant}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded body."""
        assert self._session is not None
        async with self._session.request(method, self.url + path, json=body, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json and text else text

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        return await self.call("POST", path, body)

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.call("GET", path)

    async def ready(self, timeout_s: float = 60.0) -> None:
        """Wait until /ready says so."""

        async def is_ready() -> bool:
            try:
                status, _ = await self.get("/ready")
            except aiohttp.ClientError:
                return False
            return status == 200

        await eventually(is_ready, timeout_s, f"{self.url} ready")


async def eventually(
    condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str, every_s: float = 0.1
) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout_s} s: {what}")
        await asyncio.sleep(every_s)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[OffertideApp]:
    """A worker in this process, ready."""
    app = create_app(settings)
    await app.start_all()
    try:

        async def ready() -> bool:
            held = list(app.partitions)
            return len(held) == settings.partitions and all(partition.ready for partition in held)

        await eventually(ready, 60, "all partitions ready")
        yield app
    finally:
        await app.stop_all()


async def produce_events(
    broker: Broker, app_id: str, events: Iterable[tuple[str, Mapping[str, Any]]], tenant: str = "shop"
) -> int:
    """Write events to the `events` topic as an outside producer; returns how many."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, linger_ms=5, max_batch_size=262_144, acks="all"
    )
    await producer.start()
    sent: list[Any] = []
    try:
        topic = topic_names(app_id)[EVENTS]
        for customer, event in events:
            body = {"tenantId": tenant, "customerId": customer, **event}
            key = f"{tenant}:{customer}".encode()
            sent.append(await producer.send(topic, json.dumps(body).encode(), key))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return len(sent)
