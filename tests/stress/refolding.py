"""The state as it must be: the topics folded again, in the order of the control records, by other code.

Rules:

1.  No code of the product's fold is used: what an event, a response, a decision and a profile write mean is
    written down here a second time, for the catalogue of `catalogue` and nothing more.
2.  A record with BAD in its bytes changes nothing. One in the wrong place changes nothing there, and must
    come again through `rekeyed`, where its origin counts once.
3.  Ranges are folded as the control records say; whether they are complete is another check's business.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from config.topics import DECISIONS, EVENTS, EVIDENCE, HEADER_ORIGIN, PROFILES, REKEYED, RESPONSES
from tables.layout import FENCE_KEY
from tables.routing import partition_of
from tests.stress.evidence import Evidence, Record
from tests.stress.producers import BAD

#: (channel, offer)
Contact = tuple[str, str]


@dataclass
class Customer:
    """What the topics say of one customer."""

    purchases: int = 0
    spend: float = 0.0
    clicks: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    contacts: Counter[Contact] = field(default_factory=Counter)
    event_ids: set[str] = field(default_factory=set)
    #: By scope of an idempotency key: what must not differ.
    answered: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    origins: set[str] = field(default_factory=set)


@dataclass
class Refolded:
    """The outcome: customers by record key, and what became of each record, by topic/partition/offset."""

    customers: dict[bytes, Customer] = field(default_factory=dict)
    #: recorded, duplicate or conflict; of a re-keyed record under its origin.
    verdicts: dict[str, str] = field(default_factory=dict)
    #: The number of the operation that wrote a record.
    written_by: dict[int, list[str]] = field(default_factory=dict)
    misplaced: dict[str, Record] = field(default_factory=dict)
    bad: dict[str, Record] = field(default_factory=dict)
    folded: int = 0

    def of_op(self, number: int) -> list[str]:
        """What became of the records that an operation wrote."""
        return [self.verdicts.get(place, "not folded") for place in self.written_by.get(number, [])]


def refold(evidence: Evidence) -> Refolded:
    """Fold everything again."""
    refolded = Refolded()
    for partition in range(evidence.partitions):
        for topic, record in _in_fold_order(evidence, partition):
            _fold(refolded, evidence.partitions, topic, partition, record)
    return refolded


def _in_fold_order(evidence: Evidence, partition: int) -> Iterator[tuple[str, Record]]:
    for step in evidence.steps.get(partition, ()):
        for topic, first, end in step.folded:
            records = evidence.records.get((topic, partition), ())
            for record in records[_at(records, first) : _at(records, end)]:
                yield topic, record


def _at(records: Any, offset: int) -> int:
    """The index of the first record at or after an offset."""
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if records[middle].offset < offset:
            low = middle + 1
        else:
            high = middle
    return low


def _fold(refolded: Refolded, partitions: int, topic: str, partition: int, record: Record) -> None:
    if record.key == FENCE_KEY or topic == EVIDENCE:
        return
    refolded.folded += 1
    place = f"{topic}/{partition}/{record.offset}"
    if BAD in (record.value or b""):
        refolded.bad[place] = record
        return
    body = json.loads(record.value or b"")
    key = f"{body['tenantId']}:{body['customerId']}".encode()
    number = _op_of(topic, body)
    if topic == REKEYED:
        origin = record.headers[HEADER_ORIGIN].decode()
        customer = refolded.customers.setdefault(key, Customer())
        if origin not in customer.origins:
            customer.origins.add(origin)
            topic = origin.split("/")[0]
            refolded.verdicts[origin] = _apply(customer, topic, body, origin)
        return
    if number is not None:
        refolded.written_by.setdefault(number, []).append(place)
    if record.key != key or partition_of(key, partitions) != partition:
        refolded.misplaced[place] = record
        return
    customer = refolded.customers.setdefault(key, Customer())
    refolded.verdicts[place] = _apply(customer, topic, body, place)


def _op_of(topic: str, body: dict[str, Any]) -> int | None:
    if topic == RESPONSES:
        number = (body.get("metadata") or {}).get("op")
    elif topic == PROFILES:
        attributes = body.get("attributes") or {}
        number = attributes.get("a", attributes.get("b"))
    else:
        number = (body.get("data") or {}).get("op")
    return number if isinstance(number, int) else None


def _apply(customer: Customer, topic: str, body: dict[str, Any], place: str) -> str:
    if topic == EVENTS:
        return _event(customer, body)
    if topic == RESPONSES:
        return _response(customer, body, place)
    if topic == PROFILES:
        return _profile(customer, body)
    assert topic == DECISIONS, topic
    contacts = set(body.get("contactRanks", ()))
    for rank, offer, _, channel, *_ in body["shown"]:
        if rank in contacts:
            customer.contacts[channel, offer] += 1
    return "recorded"


def _event(customer: Customer, body: dict[str, Any]) -> str:
    event_id = body.get("eventId")
    if event_id is not None:
        if event_id in customer.event_ids:
            return "duplicate"
        customer.event_ids.add(event_id)
    if body["type"] == "purchase":
        customer.purchases += 1
        customer.spend += body["data"]["amount"]
    return "recorded"


def _response(customer: Customer, body: dict[str, Any], place: str) -> str:
    target = body.get("target") or _direct_target(body["creativeId"])
    outcome = target.get("outcome") or body["outcome"]
    names = ("recommendationId", "rank", "offerId", "creativeId", "channelId")
    scope = (outcome, *(target.get(name) for name in names), body.get("idempotencyKey", place))
    said = (body.get("conversionValue"), body.get("timestamp"))
    before = customer.answered.get(scope)
    if before is not None:
        return "duplicate" if before == said else "conflict"
    customer.answered[scope] = said
    if outcome == "click":
        customer.clicks += 1
    if outcome == "impression" and target["channelId"] == "web":
        customer.contacts["web", target["offerId"]] += 1
    return "recorded"


def _direct_target(creative: str) -> dict[str, Any]:
    channel, offer = creative.split("-", 1)
    return {"offerId": offer, "creativeId": creative, "channelId": channel}


def _profile(customer: Customer, body: dict[str, Any]) -> str:
    if body.get("replace"):
        customer.attributes = {}
    customer.attributes |= body.get("attributes") or {}
    return "recorded"
