"""One Kafka record into one partition's state: check its key, decode, call the fold, keep what derives.

Rules:

1.  A record belongs here when its key is its body's customer and murmur2 of that key is this partition;
    else it goes on to `rekeyed` through the outbox, with its original coordinates.
2.  A record below its customer's watermark was folded before. A re-keyed one is judged by its original
    coordinates, since a crash may send it twice.
3.  What cannot be folded becomes a dead letter: the original bytes, coordinates, reason and problems.
4.  A record on which this program itself fails stops its partition, which then recovers; the second time it
    is a dead letter, reason "internal". No record can stop a partition for good.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from agents.erasing import Eraser
from agents.notices import Notices
from agents.origin import Origin, first_written_ms, folded_before, header_of, note_folded
from app.decision.deliveries import mark_contacts
from app.decision.fold import ERASED, REFUSED, Clock, Verdict, fold_decision, fold_event, fold_profile
from app.decision.ids import parse_routed_id
from app.decision.notices import decode_notice
from app.decision.records import (
    DecisionMade,
    Event,
    ProfileWrite,
    Response,
    decode_decision,
    decode_event,
    decode_profile,
    decode_response,
)
from app.decision.refusals import Problem, Refused, first_problems
from app.decision.responses import fold_response, unpark
from app.decision.state import Customer
from config.metrics import Metrics
from config.topics import (
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    EVIDENCE,
    HEADER_ORIGIN,
    HEADER_PROBLEMS,
    HEADER_REASON,
    HEADER_REQUEST,
    HEADER_WRITTEN,
    PROFILES,
    REKEYED,
    RESPONSES,
    SOURCE_TOPICS,
)
from tables.answers import Answered
from tables.codec import MissingValueError, new_customer
from tables.layout import FENCE_KEY, StateFormatError, customer_key
from tables.partition import Partition, PartitionClosedError
from tables.publisher import Derived
from tables.routing import partition_of
from tables.store import StoreError

#: A larger record is a dead letter, cut to this size; brokers allow 1 MiB unless told otherwise.
RECORD_MAX_BYTES = 3 * 1024 * 1024

#: A dead letter's key is cut to this size; a customer's has at most 1,089 bytes.
KEY_MAX_BYTES = 16 * 1024

#: Bytes of a request id: ours have 28.
_REQUEST_MAX = 256

#: Characters of a failure as /ready and the log show it.
_FAILURE_MAX = 1_000

Body = Event | Response | ProfileWrite | DecisionMade


_DECODERS: dict[str, Callable[[bytes], Body | Refused]] = {
    EVENTS: decode_event,
    RESPONSES: decode_response,
    DECISIONS: decode_decision,
    PROFILES: decode_profile,
}


class RecordFailedError(Exception):
    """This program failed on a record; `topic` is its index in SOURCE_TOPICS. Internal.

    The state is no longer to be trusted: the partition recovers.
    """

    def __init__(self, topic: int, record: Any, error: Exception) -> None:
        name = SOURCE_TOPICS[topic]
        super().__init__(f"{name}/{record.partition}/{record.offset} failed: {error!r}"[:_FAILURE_MAX])
        self.topic = topic
        self.offset: int = record.offset


class Folder:
    """Folds records into one partition.

    Args:
        partition: owned by this worker.
        partitions: how many there are.
        origin_id: this process's name in decision records, to take down its own overlays.
        metrics: counts what happened.
        poison: records not to fold, by (topic index, offset): folding them failed twice.
    """

    def __init__(
        self,
        partition: Partition,
        partitions: int,
        origin_id: str,
        metrics: Metrics,
        poison: Collection[tuple[int, int]] = (),
    ) -> None:
        self._partition = partition
        self._partitions = partitions
        self._origin_id = origin_id
        self._metrics = metrics
        self._poison = poison
        self._notices = Notices(partition, partitions, metrics)
        self._eraser = Eraser(partition, self._notices, metrics)

    def fold(self, topic: int, record: Any, clock: Clock) -> None:
        """Fold one record of a customer topic. Nothing a producer wrote may make it raise.

        Raises:
            RecordFailedError: something did all the same.
            StoreError, MissingValueError, StateFormatError, PartitionClosedError: the state cannot be read.
        """
        try:
            self._fold_any(topic, record, clock)
        except (StoreError, StateFormatError, MissingValueError, PartitionClosedError):
            raise
        except Exception as error:
            raise RecordFailedError(topic, record, error) from error

    def _fold_any(self, topic: int, record: Any, clock: Clock) -> None:
        name = SOURCE_TOPICS[topic]
        if record.key == FENCE_KEY:
            return
        if self._poison and (topic, record.offset) in self._poison:
            refused = Refused("internal", (Problem("", "folding it failed twice; the log says how"),))
            self._answer(record, Verdict(REFUSED, refused=refused))
            self._dead_letter(
                record.key, record.value, Origin(name, record.partition, record.offset), refused
            )
            return
        if name == EVIDENCE:
            self._fold_notice(record, Origin(name, record.partition, record.offset), clock)
            return
        if name != REKEYED:
            self._fold(name, topic, record, Origin(name, record.partition, record.offset), clock)
            return
        try:
            origin = Origin.parse(header_of(record, HEADER_ORIGIN) or b"")
            if origin.partition >= self._partitions:
                raise ValueError(f"there is no partition {origin.partition}")
        except ValueError as error:
            refused = Refused("invalid", (Problem(f"headers.{HEADER_ORIGIN}", str(error)),))
            self._dead_letter(
                record.key, record.value, Origin(name, record.partition, record.offset), refused
            )
            return
        self._fold(origin.topic, None, record, origin, clock)

    def _fold_notice(self, record: Any, origin: Origin, clock: Clock) -> None:
        value = record.value or b""
        notice = _too_large(value) or decode_notice(value)
        refused = notice if isinstance(notice, Refused) else self._notices.fold(notice, clock)
        if refused is not None:
            self._dead_letter(record.key, record.value, origin, refused)

    def _fold(self, name: str, topic: int | None, record: Any, origin: Origin, clock: Clock) -> None:
        body = _decode(name, record.value or b"")
        if isinstance(body, Refused):
            self._answer(record, Verdict(REFUSED, refused=body))
            self._dead_letter(record.key, record.value, origin, body)
            return
        key = customer_key(body.tenant_id, body.customer_id)
        customer = self._customer(key, record.key, rekeyed=topic is None)
        if customer is None:
            self._rekey(key, record, origin)
            return
        if folded_before(customer, topic, origin):
            self._metrics.records_skipped_total.labels(name).inc()
            return
        note_folded(customer, topic, origin)
        written_ms = record.timestamp if topic is not None else first_written_ms(record)
        if isinstance(body, DecisionMade) and body.origin == self._origin_id:
            self._partition.overlays.folded(body.sequence)
        if customer.erasure is not None or (isinstance(body, ProfileWrite) and body.erase):
            gone = self._eraser.fold(customer, body, written_ms, origin, clock)
            if gone is not None:
                self._answer(record, gone)
                return
        before = mark_contacts(customer)
        verdict = self._apply(customer, body, written_ms, origin, clock)
        if verdict.refused is not None:
            self._dead_letter(record.key, record.value, origin, verdict.refused)
        if verdict.evidence or verdict.variants:
            self._notices.learn(customer.tenant_id, verdict, clock)
        if record.headers:
            self._answer(record, verdict)
        if customer.parked:
            self._unpark(customer, clock)
        self._notices.spend(customer, before, clock)

    def _customer(self, key: bytes, record_key: bytes | None, rekeyed: bool) -> Customer | None:
        """The customer to fold into; None when the record does not belong here."""
        if record_key != key and not rekeyed:
            return None
        found = self._partition.find(key)
        if found is None:
            # Whom the partition holds belongs to it; only of others the key must be hashed, which is slow.
            if partition_of(key, self._partitions) != self._partition.number:
                return None
            found = new_customer(key)
        self._partition.pin(key, found)
        return found

    def _apply(
        self, customer: Customer, body: Body, written_ms: int, origin: Origin, clock: Clock
    ) -> Verdict:
        if isinstance(body, Event):
            return fold_event(customer, body, written_ms, clock)
        if isinstance(body, Response):
            return fold_response(customer, body, written_ms, clock, str(origin))
        if isinstance(body, ProfileWrite):
            return fold_profile(customer, body, clock)
        return self._apply_decision(customer, body, clock)

    def _apply_decision(self, customer: Customer, decision: DecisionMade, clock: Clock) -> Verdict:
        verdict = fold_decision(customer, decision, clock)
        if verdict.refused is not None:
            return verdict
        if decision.shown:
            self._partition.counters.count_decision(customer.tenant_id, decision.at_ms)
        trace = bytes(decision.trace)
        routed = parse_routed_id(decision.trace_id or "")
        if routed is not None and trace != b"null":
            key = customer_key(customer.tenant_id, customer.customer_id)
            self._partition.traces.keep(key, routed.at_ms, decision.trace_id or "", trace)
        if decision.answer_key is not None:
            key = customer_key(decision.tenant_id, decision.customer_id)
            answered = Answered(int(decision.answer_key, 16), decision.at_ms)
            self._partition.answers.keep(key, answered, bytes(decision.answer), clock.now_ms)
        return verdict

    def _unpark(self, customer: Customer, clock: Clock) -> None:
        for unparked in unpark(customer, clock):
            self._notices.learn(customer.tenant_id, unparked.verdict, clock)
            refused = unparked.verdict.refused
            if refused is not None:
                origin = Origin.parse(unparked.parked.source.encode())
                self._dead_letter(None, unparked.parked.body, origin, refused)

    def _answer(self, record: Any, verdict: Verdict) -> None:
        request_id = header_of(record, HEADER_REQUEST)
        if request_id is None:
            return
        waiters, name = self._partition.waiters, request_id.decode("utf-8", "replace")
        if verdict.status == ERASED:
            waiters.defer(name, verdict)
        else:
            waiters.settle(name, verdict)

    def _rekey(self, key: bytes, record: Any, origin: Origin) -> None:
        request_id = header_of(record, HEADER_REQUEST)
        headers = [] if request_id is None else [(HEADER_REQUEST, request_id[:_REQUEST_MAX])]
        headers.append((HEADER_ORIGIN, str(origin).encode()))
        headers.append((HEADER_WRITTEN, str(record.timestamp).encode()))
        target = partition_of(key, self._partitions)
        self._partition.outbox.add(Derived(REKEYED, target, key, record.value, tuple(headers)))
        self._metrics.rekeyed_total.inc()

    def _dead_letter(self, key: bytes | None, value: bytes | None, origin: Origin, refused: Refused) -> None:
        # Larger records are at their origin still; here they would not fit beside the state.
        key, value = key and key[:KEY_MAX_BYTES], value and value[:RECORD_MAX_BYTES]
        headers = (
            (HEADER_ORIGIN, str(origin).encode()),
            (HEADER_REASON, refused.reason.encode()),
            (HEADER_PROBLEMS, msgspec.json.encode(first_problems(refused.problems))),
        )
        self._partition.outbox.add(Derived(DEAD_LETTERS, self._partition.number, key, value, headers))
        self._metrics.dead_letters_total.labels(refused.reason).inc()


def _decode(name: str, value: bytes) -> Body | Refused:
    return _too_large(value) or _DECODERS[name](value)


def _too_large(value: bytes) -> Refused | None:
    if len(value) <= RECORD_MAX_BYTES:
        return None
    return Refused("too_large", (Problem("", f"{len(value)} bytes, at most {RECORD_MAX_BYTES}"),))
