"""A partition with a customer that has everything, and what is left of one in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.decision.ids import routed_id
from config.topics import DECISIONS, EVENTS, PROFILES, RESPONSES
from tables.layout import STORE_FORMAT, Kind
from tests.agents.records import NOW_MS, TENANT, Bench

CUSTOMER = "ann.soderstrom@example.org"
#: When the erasure is asked for, after all that `fill` folds.
ERASED_MS = NOW_MS + 1_000


def bench_in(folder: Path) -> Bench:
    """A partition without anything."""
    return Bench(folder, CUSTOMER)


def decision(bench: Bench, number: int, **fields: Any) -> dict[str, Any]:
    """A decision with a contact, a reservation and a trace that names the customer."""
    return {
        "recommendationId": routed_id("rec", bench.partition.number, NOW_MS, f"{number:08x}"),
        "decisionFlowId": "f",
        "atMs": NOW_MS,
        "catalogueVersion": 7,
        "origin": "another",
        "sequence": number,
        "shown": [[1, "o1", "c2", "push", "cat", None], [2, "o1", "c1", "web", "cat", None]],
        "contactRanks": [1],
        "reserved": [[2, NOW_MS + 60_000]],
        "traceId": trace_id(bench, number),
        "trace": {"tenantId": TENANT, "trace": {"customerId": CUSTOMER}},
        **fields,
    }


def trace_id(bench: Bench, number: int) -> str:
    """The id of a decision's trace."""
    return routed_id("trc", bench.partition.number, NOW_MS, f"{number:08x}")


def fill(bench: Bench, decisions: int = 70, every: int = 40) -> None:
    """Fold something into every part of the customer, writing batches in between."""
    bench.fold(PROFILES, {"attributes": {"mail": CUSTOMER}, "tags": ["vip"]})
    for number in range(decisions):
        bench.fold(DECISIONS, decision(bench, number))
        bench.fold(EVENTS, {"type": "purchase", "data": {"amount": 2.5}, "eventId": f"e{number}"})
        if number % every == every - 1:
            bench.write()
    bench.fold(RESPONSES, {**unseen(bench, "k"), "metadata": {"who": CUSTOMER}})
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert customer.parked
    assert customer.reserved


def unseen(bench: Bench, key: str) -> dict[str, Any]:
    """A response to a decision that is not folded: it is parked."""
    named = routed_id("rec", bench.partition.number, NOW_MS, "ffffffff")
    return {"outcome": "click", "recommendationId": named, "rank": 1, "idempotencyKey": key}


def erase(bench: Bench, at_ms: int = ERASED_MS) -> str:
    """Fold an erasure asked for at an instant; returns its id."""
    bench.clock = bench.clock.__class__(
        max(at_ms, bench.clock.now_ms), bench.clock.catalogue, bench.clock.partition
    )
    bench.fold(PROFILES, {"erase": True}, timestamp=at_ms)
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert customer.erasure is not None
    return customer.erasure.erasure_id


def stored(bench: Bench) -> dict[bytes, bytes]:
    """Everything in the store but what every store has."""
    return {key: value for key, value in bench.store.scan(b"") if value != STORE_FORMAT and key[:1] != b"!"}


def kinds(content: dict[bytes, bytes]) -> set[bytes]:
    """The kinds of a store's keys, the control record's apart."""
    return {key[:1] for key in content} - {Kind.CONTROL.value}


def named_in(content: dict[bytes, bytes]) -> list[bytes]:
    """The keys under which the customer is named, in the key or the value."""
    name = CUSTOMER.encode()
    return [key for key, value in content.items() if name in key or name in value]
