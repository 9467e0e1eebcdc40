"""A small run without a fault, made by hand, in which tests plant violations.

One customer, c1, of a partition of its own: two purchases (one by HTTP, one produced), an impression and a
click over HTTP, a push decision, a profile, a misplaced purchase, and a bad record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.topics import HEADER_ORIGIN, SOURCE_TOPICS
from tables.routing import partition_of
from tests.stress.evidence import Evidence, Place, Record, Step, Stop, Store
from tests.stress.history import Op
from tests.stress.producers import BAD, key_of

PARTITIONS = 8
CUSTOMER = "c1"
KEY = key_of(CUSTOMER)
HOME = partition_of(KEY, PARTITIONS)
AWAY = (HOME + 1) % PARTITIONS
#: Wall time of second 0, epoch milliseconds.
EPOCH_MS = 1_800_000_000_000


def at(second: float) -> str:
    """An instant of the run as answers say it."""
    return datetime.fromtimestamp(EPOCH_MS / 1000 + second, UTC).isoformat(timespec="milliseconds")


@dataclass
class Ground:
    """A run being made. `clock_s` is the time; every operation takes 0.1 s, and 0.9 s pass until the next."""

    ops: list[Op] = field(default_factory=list)
    records: dict[Place, list[Record]] = field(default_factory=dict)
    folded: dict[int, list[tuple[str, int, int]]] = field(default_factory=dict)
    clock_s: float = 0.0

    def op(self, kind: str, request: dict[str, Any], status: int, body: Any = None, worker: int = 0) -> Op:
        op = Op(
            len(self.ops),
            kind,
            CUSTOMER if kind != "produce" else "",
            worker,
            self.clock_s,
            EPOCH_MS + round(self.clock_s * 1000),
            request,
            self.clock_s + 0.1,
            status,
            body,
        )
        self.ops.append(op)
        self.clock_s += 1.0
        return op

    def write(
        self,
        topic: str,
        body: dict[str, Any] | bytes,
        partition: int = HOME,
        key: bytes | None = KEY,
        **headers: bytes,
    ) -> int:
        """A record, and its fold, a range of its own; its offset."""
        value = body if isinstance(body, bytes) else json.dumps(body).encode()
        records = self.records.setdefault((topic, partition), [])
        offset = len(records)
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        records.append(Record(offset, key, value, EPOCH_MS + round(self.clock_s * 1000), names))
        if topic in SOURCE_TOPICS:
            self.folded.setdefault(partition, []).append((topic, offset, offset + 1))
        return offset

    def ingest(self, event_id: str, amount: float, status: str | None = None) -> Op:
        data = {"amount": amount, "op": len(self.ops)}
        request = {"customerId": CUSTOMER, "type": "purchase", "eventId": event_id, "data": data}
        self.write("events", {"tenantId": "shop", **request})
        return self.op("ingest", request, 200, {"status": status} if status else {})

    def respond(self, outcome: str, key: str, status: int = 201, offer: str = "offer-1") -> Op:
        request: dict[str, Any] = {
            "customerId": CUSTOMER,
            "recommendationId": "rec_1",
            "rank": 1,
            "outcome": outcome,
        }
        request |= {"idempotencyKey": key, "metadata": {"op": len(self.ops)}}
        target: dict[str, Any] = {"offerId": offer, "creativeId": f"web-{offer}", "channelId": "web"}
        target |= {"recommendationId": "rec_1", "rank": 1, "outcome": outcome}
        if status != 404:
            self.write("responses", {"tenantId": "shop", **request, "target": target})
        return self.op("respond", request, status, {"outcome": outcome, "offerId": offer})

    def recommend(self, name: str, channel: str, offer: str = "offer-1") -> Op:
        shown = [(1, offer, f"{channel}-{offer}", channel, "music", None)]
        ranks = [1] if channel == "push" else []
        body = {"tenantId": "shop", "customerId": CUSTOMER, "recommendationId": name, "shown": shown}
        self.write(
            "decisions", {**body, "contactRanks": ranks, "atMs": EPOCH_MS + round(self.clock_s * 1000)}
        )
        decision = {"channelId": channel, "offerId": offer, "rank": 1}
        answer = {"recommendationId": name, "processedAt": at(self.clock_s), "meta": {}}
        return self.op(
            "recommend",
            {"customerId": CUSTOMER, "channelId": channel},
            200,
            {**answer, "decisions": [decision]},
        )

    def put(self, **shown: Any) -> Op:
        attributes = {"a": len(self.ops), "b": len(self.ops)}
        self.write(
            "profiles",
            {"tenantId": "shop", "customerId": CUSTOMER, "attributes": attributes, "replace": True},
        )
        return self.op("put", {"attributes": attributes}, 200, state(attributes, **shown))

    def get(self, attributes: dict[str, Any], **shown: Any) -> Op:
        return self.op("get", {}, 200, state(attributes, **shown))

    def produce(self, topic: str, value: bytes, partition: int = HOME, key: bytes = KEY) -> Op:
        offset = self.write(topic, value, partition, key)
        request = {"topic": topic, "partition": partition, "key": key.hex(), "value": value.hex()}
        return self.op("produce", request, 200, {"partition": partition, "offset": offset}, worker=-1)

    def evidence(self, final: dict[str, Any]) -> Evidence:
        """The finished run; `final` is what HTTP answers of the customer, and the stores hold."""
        steps = {number: _steps(ranges) for number, ranges in self.folded.items()}
        ends = {place: len(records) for place, records in self.records.items()}
        contacts = [
            (0, "offer-1", "", channel)
            for channel, n in final["contacts"]["byChannel"].items()
            for _ in range(n)
        ]
        values = {b"C" + KEY + bytes(4): b"\x01" + msgspec.msgpack.encode(contacts), b"Z": b"control"}
        store = Store("worker 0", HOME, steps[HOME][-1].offset, values, dict(values))
        return Evidence(
            PARTITIONS,
            self.ops,
            self.records,
            ends,
            steps,
            states={CUSTOMER: final},
            rebuilt_states={CUSTOMER: final},
            stores=[store],
            ready_s={0: 1.0},
            stops=[Stop(0, 1.0, 2.0, 0)],
            ended_s=self.clock_s,
        )


def state(attributes: dict[str, Any], purchases: int = 0, clicks: int = 0, **more: Any) -> dict[str, Any]:
    """What GET of a customer answers."""
    metrics = {"purchases": purchases, "spend": more.get("spend", 0.0), "clicks": clicks}
    return {
        "attributes": attributes,
        "metrics": metrics,
        "contacts": {"byChannel": more.get("contacts", {})},
    }


def _steps(ranges: list[tuple[str, int, int]]) -> list[Step]:
    reached = dict.fromkeys(SOURCE_TOPICS, 0)
    steps = []
    for number, (topic, first, end) in enumerate(ranges):
        reached = {**reached, topic: end}
        steps.append(Step(10 * number, 1, ((topic, first, end),), reached))
    return steps


def clean() -> Ground:
    """The run of the module's docstring, without its end."""
    ground = Ground()
    ground.put()
    ground.ingest("e1", 2.0)
    ground.recommend("rec_1", "web")
    ground.respond("impression", "k1")
    ground.respond("click", "k2")
    ground.recommend("rec_2", "push")
    event = {"tenantId": "shop", "customerId": CUSTOMER, "type": "purchase", "data": {"amount": 1.0}}
    ground.produce("events", json.dumps(event).encode())
    stray = json.dumps({**event, "eventId": "e2"}).encode()
    ground.produce("events", stray, AWAY)
    ground.write(
        "rekeyed", stray, HOME, KEY, **{HEADER_ORIGIN.replace("-", "_"): f"events/{AWAY}/0".encode()}
    )
    bad = b"not json " + BAD + b"1"
    offset = ground.produce("events", bad).body["offset"]
    origin = f"events/{HOME}/{offset}".encode()
    ground.write("dead-letters", bad, HOME, KEY, **{HEADER_ORIGIN.replace("-", "_"): origin})
    ground.get({"a": 0, "b": 0}, purchases=3, clicks=1)
    return ground


#: What the clean run comes to.
FINAL = state({"a": 0, "b": 0}, purchases=3, clicks=1, spend=4.0, contacts={"web": 1, "push": 1})
