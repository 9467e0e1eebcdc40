"""The load generator, a process of its own: `python -m tests.bench.load <JSON>` prints what it met as JSON.

Open loop: requests are due at a constant rate, whatever the answers do; a latency runs from when its request
was due, so that a stall is paid by every request that it delays. Closed loop: so many connections, each of
which sends as soon as it was answered; that gives a throughput, and latencies of the happy only.

The loop's timers have a resolution of 1 ms: an open-loop latency holds up to that much of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable

import msgspec
import uvloop

from tests.bench.http_connection import Connection, post
from tests.bench.latency import Latencies
from tests.bench.purchases import TENANT

_DRAIN_S = 10.0


class Load(msgspec.Struct, frozen=True):
    """What to send: `rate` a second over at most `connections`; rate 0 is the closed loop."""

    kind: str
    port: int
    rate: float
    connections: int
    warm_s: float
    seconds: float
    customers: int
    creatives: tuple[str, ...]


class Met(msgspec.Struct, frozen=True):
    """What came of it. Milliseconds at `latency.QUANTILES`, from due and from sent to answered."""

    answered: int
    seconds: float
    cpu_s: float
    late_max_ms: float
    unanswered: int
    statuses: dict[str, int]
    from_due_ms: list[float]
    from_sent_ms: list[float]


class Generator:
    """Sends one load; each request is new."""

    def __init__(self, load: Load, request: Callable[[], bytes]) -> None:
        self._load = load
        self._request = request
        self._idle: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self._out = 0
        self._from = self._until = 0
        self._late_ns = 0
        self._answered = asyncio.Event()
        self._statuses: Counter[str] = Counter()
        self._from_due, self._from_sent = Latencies(), Latencies()

    async def run(self) -> Met:
        """Warm up, send, wait for what is still out."""
        loop = asyncio.get_running_loop()
        for _ in range(self._load.connections):
            _, connection = await loop.create_connection(
                lambda: Connection(self._done), "127.0.0.1", self._load.port
            )
            self._idle.append(connection)
        begin = time.perf_counter_ns()
        self._from = begin + int(self._load.warm_s * 1e9)
        self._until = self._from + int(self._load.seconds * 1e9)
        cpu = time.process_time()
        await (self._open(begin) if self._load.rate else self._closed())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), _DRAIN_S)
        return self._met(time.process_time() - cpu)

    async def _open(self, begin: int) -> None:
        step = 1e9 / self._load.rate
        number = 0
        while (due := begin + int(number * step)) < self._until:
            now = time.perf_counter_ns()
            if due > now:
                await asyncio.sleep((due - now) / 1e9)
                continue
            self._late_ns = max(self._late_ns, now - due)
            self._waiting.append(due)
            number += 1
            self._dispatch()

    async def _closed(self) -> None:
        while self._idle:
            self._waiting.append(time.perf_counter_ns())
            self._dispatch()
        await asyncio.sleep((self._until - time.perf_counter_ns()) / 1e9)

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            connection = self._idle.pop()
            if not connection.open:
                continue  # closed by the server; the others carry on, and without any nothing is answered
            connection.due_ns = self._waiting.popleft()
            connection.sent_ns = time.perf_counter_ns()
            self._out += 1
            connection.send(self._request())

    def _done(self, connection: Connection, status: int) -> None:
        now = time.perf_counter_ns()
        self._out -= 1
        if self._from <= connection.due_ns < self._until:
            self._statuses[str(status)] += 1
            self._from_due.add(now - connection.due_ns)
            self._from_sent.add(now - connection.sent_ns)
        if status:
            self._idle.append(connection)
        if not self._load.rate and now < self._until:
            self._waiting.append(now)
        self._dispatch()
        if now >= self._until and not self._out and not self._waiting:
            self._answered.set()

    def _met(self, cpu_s: float) -> Met:
        return Met(
            answered=self._from_due.count,
            seconds=self._load.seconds,
            cpu_s=cpu_s * self._load.seconds / (self._load.seconds + self._load.warm_s),
            late_max_ms=self._late_ns / 1e6,
            unanswered=self._out + len(self._waiting),
            statuses=dict(self._statuses),
            from_due_ms=self._from_due.milliseconds(),
            from_sent_ms=self._from_sent.milliseconds(),
        )


def requests(load: Load) -> Callable[[], bytes]:
    """Makes the next request of a kind: recommend, recommend-trace, respond or ingest."""
    chance = random.Random(uuid.uuid4().int)
    run = uuid.uuid4().hex[:8]
    number = 0

    def body() -> dict[str, object]:
        customer = f"C{chance.randrange(load.customers):07d}"
        if load.kind == "respond":
            creative = chance.choice(load.creatives)
            key = f"{run}-{number}"
            return {"customerId": customer, "creativeId": creative, "outcome": "click", "idempotencyKey": key}
        return {"customerId": customer, "limit": 5, "trace": load.kind == "recommend-trace"}

    path = "/api/v1/respond" if load.kind == "respond" else "/api/v1/recommend"

    def request() -> bytes:
        nonlocal number
        number += 1
        return post(path, TENANT, json.dumps(body()).encode())

    return request


def main() -> None:
    load = msgspec.json.decode(sys.argv[1], type=Load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        met = runner.run(Generator(load, requests(load)).run())
    sys.stdout.buffer.write(msgspec.json.encode(met))


if __name__ == "__main__":
    main()
