"""`core`: the decision and the fold alone, in this process, without Kafka, HTTP or a disk."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from agents.folder import Folder
from app.decision.catalogue import CatalogSnapshot, TenantCatalogue, check_tenant, compile_tenant, load_entity
from app.decision.decide import CustomerView, DecisionRequest, decide
from app.decision.entities import Entity
from app.decision.fold import Clock
from app.decision.index import EntityKey
from app.decision.metrics import observe
from app.decision.state import Contact, Profile, Window
from config.metrics import new_metrics
from config.topics import CUSTOMER_TOPICS, EVENTS
from tables.partition import Partition
from tables.store import PartitionStore, StoreMemory
from tests.bench.catalogues import Documents, metrics_only, shop
from tests.bench.latency import Latencies
from tests.bench.purchases import TENANT, Traffic, rows
from tests.bench.report import Table

OFFERS = (10, 100, 1_000, 2_500)
NOW_MS = 1_800_000_000_000
_DAY_MS = 86_400_000


def core(seconds: float) -> list[Table]:
    """Tables of both; about `seconds` for each row."""
    return [_decisions(seconds), _folds(seconds)]


def _decisions(seconds: float) -> Table:
    columns = ["offers", "trace", "calls", "p50 µs", "p99 µs", "max µs", "µs an offer"]
    table = Table("Decision core: 20 contact policies, 10 qualification rules, 20 contacts, limit 5", columns)
    for offers in OFFERS:
        catalogue = compiled(shop(offers))
        for trace in (False, True):
            found = timed(deciding(catalogue, trace), seconds)
            median = found.at(50) / 1_000
            row = (median, found.at(99) / 1_000, found.at(100) / 1_000)
            table.add(offers, "yes" if trace else "no", found.count, *row, median / offers)
    table.notes.append("No candidate is removed, so each passes every policy and rule, is scored and ranked.")
    return table


def deciding(catalogue: TenantCatalogue, trace: bool) -> Callable[[], object]:
    """A decision of the catalogue's flow for a customer with a profile, metrics and contacts.

    Raises:
        ValueError: the catalogue has no flow.
    """
    flow = catalogue.resolve_flow(None, None, None)
    if flow is None:
        raise ValueError("the catalogue has no flow to decide with")
    profile = Profile(attributes={"age": 40, "country": "DE", "firstName": "Ann"})
    windows: dict[str, Window] = {}
    for metric in catalogue.metrics.values():
        for day in range(30):
            observe(windows, metric, NOW_MS - day * _DAY_MS, 1.0)
    contacts = [_contact(number) for number in range(20)]
    view = CustomerView("C1", profile=profile, metrics=windows, contacts=contacts)
    request = DecisionRequest(limit=5, trace=trace)
    return lambda: decide(flow, request, view, NOW_MS, "salt", _probe)


def _contact(number: int) -> Contact:
    return Contact(
        NOW_MS - (number + 1) * _DAY_MS, f"offer-{number % 10}", f"creative-{number % 10}", "web", "cat-0"
    )


def _probe() -> float:
    return time.perf_counter() * 1_000


def _folds(seconds: float) -> Table:
    table = Table("Fold alone: records decoded elsewhere, no Kafka", ["what", "calls", "p50 µs", "p99 µs"])
    metric = next(iter(compiled(metrics_only()).metrics.values()))
    windows: dict[str, Window] = {}
    one = timed(lambda: observe(windows, metric, NOW_MS, 1.0), seconds)
    table.add("observe() of one metric", one.count, one.at(50) / 1_000, one.at(99) / 1_000)
    for with_ids in (False, True):
        for customers in (100, 100_000):
            found = _fold_events(Traffic(100_000, customers, with_ids=with_ids))
            what = f"one event, five metrics, {customers:,} customers{', eventId' if with_ids else ''}"
            table.add(what, found.count, found.at(50) / 1_000, found.at(99) / 1_000)
    table.notes.append("An event: decode, key check, five metrics, position. Nothing is written meanwhile.")
    return table


def _fold_events(traffic: Traffic) -> Latencies:
    now_ms = int(time.time() * 1_000)
    snapshot = CatalogSnapshot(1, {TENANT: compiled(metrics_only())})
    clock, topic = Clock(now_ms, snapshot), CUSTOMER_TOPICS.index(EVENTS)
    with tempfile.TemporaryDirectory(prefix="offertide-bench-") as folder:
        metrics = new_metrics()
        partition = Partition(0, traffic.customers, 1, metrics)
        store = PartitionStore(Path(folder) / "0.db", StoreMemory(64 << 20, 32 << 20))
        partition.attach(store)
        folder_of_one = Folder(partition, 1, "bench", metrics)
        found = Latencies()
        for offset, (key, value) in enumerate(rows(traffic, now_ms)):
            record = SimpleNamespace(
                key=key, value=value, offset=offset, partition=0, timestamp=now_ms, headers=()
            )
            begun = time.perf_counter_ns()
            folder_of_one.fold(topic, record, clock)
            found.add(time.perf_counter_ns() - begun)
        store.close()
    return found


def compiled(documents: Documents) -> TenantCatalogue:
    """The catalogue of some documents, which must have no problem.

    Raises:
        ValueError: they have.
    """
    entities: dict[EntityKey, Entity] = {}
    for kind, bodies in documents.items():
        for body in bodies:
            entity = load_entity(kind, body)
            if isinstance(entity, list):
                raise ValueError(f"{kind} {json.dumps(body)}: {entity}")
            entities[kind, entity.id] = entity
    problems = check_tenant(TENANT, entities)
    if problems:
        raise ValueError(f"the benchmark's catalogue is wrong: {problems}")
    return compile_tenant(TENANT, entities)


def timed(call: Callable[[], object], seconds: float) -> Latencies:
    """How long each call takes, in nanoseconds, over so many seconds, after a tenth of them to warm up."""
    found = Latencies()
    gc.collect()
    warm = time.monotonic() + seconds / 10
    while time.monotonic() < warm:
        call()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.perf_counter_ns()
        call()
        found.add(time.perf_counter_ns() - begun)
    return found
