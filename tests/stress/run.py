"""One run: set the stage, let clients and faults loose, heal, wait, stop everything, read what is left.

Rules:

1.  Traffic goes on for a while after the last fault, so that the end is seen under load too.
2.  Nothing is judged here. What could not be reached in time is written down for the checks.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.provision import ensure_topics
from config.topics import SOURCE_TOPICS
from tests.stress.callers import Caller
from tests.stress.catalogue import changed, import_catalogue
from tests.stress.collecting import Replay, ends_of, last_controls, read_stores, read_topics
from tests.stress.disk import compile_shim
from tests.stress.evidence import Disturbance, Evidence, Store
from tests.stress.faults import Trouble
from tests.stress.history import History
from tests.stress.producers import Producers
from tests.stress.schedule import DISK_KINDS, Fault
from tests.stress.shoppers import Shoppers
from tests.stress.stage import PARTITIONS, Stage, Worker

READY_S = 60.0
DRAIN_S = 60.0
_IMPORT_EVERY_S = 12.0


@dataclass(frozen=True)
class Plan:
    """What to run. Rates are records and requests a second."""

    seed: int
    minutes: float
    nodes: int
    workers: int
    schedule: tuple[Fault, ...]
    customers: int = 30
    requests: float = 60.0
    records: float = 40.0


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


async def perform(plan: Plan, folder: Path) -> tuple[Evidence, History]:
    """Run the plan in an empty folder.

    Raises:
        Exception: it could not be run, through no fault of the product's.
    """
    history = History(folder / "history.jsonl")
    library = compile_shim(folder) if any(fault.kind in DISK_KINDS for fault in plan.schedule) else None
    try:
        async with Stage(folder, library, plan.nodes, plan.workers) as stage:
            evidence = await _Run(plan, stage, history).perform()
    finally:
        history.close()
    return evidence, history


class _Run:
    def __init__(self, plan: Plan, stage: Stage, history: History) -> None:
        self._plan = plan
        self._stage = stage
        self._history = history
        self._dice = random.Random(plan.seed)
        self._customers = [f"c{number:02d}" for number in range(plan.customers)]
        self._trouble = Trouble(stage, plan.schedule)
        self._evidence = Evidence(PARTITIONS, history.ops)
        self._stuck: list[str] = []

    async def perform(self) -> Evidence:
        stage, evidence = self._stage, self._evidence
        await ensure_topics(stage.settings())
        await import_catalogue(stage.settings())
        for worker in stage.workers:
            worker.start()
        async with self._caller(stage.workers) as caller:
            await self._all_ready(caller)
            await self._play(caller)
            say("healed: waiting until every worker is ready")
            evidence.ready_s = await self._all_ready(caller)
            await self._drained()
            evidence.states = await self._states(caller)
        say("stopping the workers")
        await asyncio.gather(*(worker.stop() for worker in stage.workers))
        found = [store for worker in stage.workers for store in _stores_of(worker)]
        found += await self._rebuild()
        await self._read(found)
        evidence.stops = [stop for worker in stage.workers for stop in worker.stops]
        evidence.gave_up, evidence.stuck = self._trouble.gave_up, self._stuck
        evidence.disturbances = [
            Disturbance(one.fault.kind, one.fault.who, one.start_s, one.end_s, one.error)
            for one in self._trouble.suffered
        ]
        return evidence

    def _caller(self, workers: list[Worker]) -> Caller:
        return Caller([worker.url for worker in workers], self._history, self._dice)

    async def _play(self, caller: Caller) -> None:
        """Traffic and faults, until both are over."""
        plan, evidence = self._plan, self._evidence
        shoppers = Shoppers(caller, self._customers, plan.requests, self._dice)
        producers = Producers(self._stage.bootstrap, self._history, self._customers, plan.records, self._dice)
        await shoppers.introduce()
        evidence.started_s = time.monotonic()
        until_s = evidence.started_s + plan.minutes * 60
        say("all workers are ready: here it goes")
        background = [
            asyncio.create_task(self._trouble.supervise()),
            asyncio.create_task(self._imports()),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._trouble.run(evidence.started_s))
                group.create_task(shoppers.run(until_s))
                group.create_task(producers.run(until_s))
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        evidence.ended_s = time.monotonic()

    async def _imports(self) -> None:
        """Change the catalogue now and then; an import that Kafka's state forbids is tried again later."""
        while True:
            await asyncio.sleep(_IMPORT_EVERY_S)
            op = self._history.begin("import", "", -1, {})
            try:
                async with asyncio.timeout(20):
                    await import_catalogue(self._stage.settings(), changed(self._dice))
            except Exception as error:  # noqa: BLE001 - a node may be away
                self._history.end(op, 0, error=repr(error))
            else:
                self._history.end(op, 200)

    async def _all_ready(self, caller: Caller) -> dict[int, float | None]:
        began_s = time.monotonic()
        ready: dict[int, float | None] = {}
        said: dict[int, str] = {}

        async def everyone() -> bool:
            for worker in self._stage.workers:
                is_ready, said[worker.number] = await caller.ready(worker.number)
                if is_ready:
                    ready.setdefault(worker.number, time.monotonic() - began_s)
                else:
                    ready.pop(worker.number, None)
            return len(ready) == len(self._stage.workers)

        if not await _within(READY_S, everyone):
            for worker in self._stage.workers:
                if worker.number not in ready:
                    ready[worker.number] = None
                    self._stuck.append(f"worker {worker.number} says {said[worker.number]}")
        return ready

    async def _drained(self) -> None:
        """Wait until everything is folded and everything derived is published."""
        left: dict[str, Any] = {}

        async def done() -> bool:
            left.clear()
            bootstrap = self._stage.bootstrap
            controls, ends = await last_controls(bootstrap), await ends_of(bootstrap)
            for number in range(PARTITIONS):
                control = controls.get(number)
                for index, topic in enumerate(SOURCE_TOPICS):
                    position = control.positions[index] if control else 0
                    if position < ends[topic, number]:
                        left[f"{topic}/{number}"] = (position, ends[topic, number])
                if control is not None and control.outbox_published < control.outbox_end:
                    left[f"outbox {number}"] = (control.outbox_published, control.outbox_end)
            return not left

        if not await _within(DRAIN_S, done):
            self._stuck.append(f"not folded {DRAIN_S:g} s after healing (position, end): {left}")

    async def _states(self, caller: Caller) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for customer in self._customers:
            path = f"/api/v1/customers/{customer}"
            op = await caller.ask("get", customer, "GET", path, lambda _: None, tries=60)
            if op.status == 200:
                states[customer] = op.body
        return states

    async def _rebuild(self) -> list[Store]:
        """What a worker with an empty folder makes of it all; its stores."""
        say("rebuilding everything on a worker with an empty folder")
        worker = await self._stage.fresh_worker()
        worker.start()
        history = History()
        try:
            async with Caller([worker.url], history, self._dice) as caller:
                if not await _within(READY_S, lambda: _first(caller.ready(0))):
                    _, said = await caller.ready(0)
                    self._stuck.append(f"the worker with the empty folder says {said}")
                await self._drained()
                self._evidence.rebuilt_states = await self._states(caller)
        finally:
            await worker.stop()
        return read_stores(worker.settings.data_dir, "rebuilt")

    async def _read(self, found: list[Store]) -> None:
        say("reading topics and changelogs")
        evidence, replay = self._evidence, Replay()
        evidence.stores = await replay.run(self._stage.bootstrap, found)
        evidence.steps, evidence.holes = replay.steps, replay.holes
        evidence.records = await read_topics(self._stage.bootstrap)
        evidence.ends = await ends_of(self._stage.bootstrap)


def _stores_of(worker: Worker) -> list[Store]:
    return read_stores(worker.settings.data_dir, f"worker {worker.number}")


async def _first(pair: Awaitable[tuple[bool, str]]) -> bool:
    return (await pair)[0]


async def _within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    deadline_s = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(0.3)
    return True


def write_plan(plan: Plan, folder: Path) -> None:
    """Keep what was planned beside what happened."""
    shown = {"seed": plan.seed, "schedule": [str(fault) for fault in plan.schedule]}
    (folder / "plan.json").write_text(json.dumps(shown, indent=1))
