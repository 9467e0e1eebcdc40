"""Answers that recommend gives again: those of its idempotency keys, for ten minutes.

Rules:

1.  An answer is part of the state as its decision is: the fold of the decision's record keeps it, in the same
    batch. So it outlives the worker, and moves with its partition.
2.  Answers lie in the order of time, so that the oldest go first. A customer's list says where its own are,
    the last `ANSWERS_MAX`. Who sends no key neither reads nor writes any of it.
3.  What has run out is never found, whether it was swept or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from app.decision.state import ANSWER_WINDOW_MS, ANSWERS_MAX
from config.metrics import Metrics
from tables.codec import Change
from tables.layout import Kind, answer_key, answer_time_key, answers_key, pack, split_answer_key, unpack
from tables.store import PartitionStore

#: Expired answers deleted with one batch, beside twice as many as it keeps.
ANSWER_SWEEP = 200

#: How a value is looked up, None when there is none.
Get = Callable[[bytes], bytes | None]


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """One answer in its customer's list: 64-bit hash of the key and its scope, epoch ms of its decision."""

    key_hash: int
    at_ms: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Answered])


class Answers:
    """The answers of one partition: those stored, and those of the batch in hand."""

    def __init__(self, metrics: Metrics) -> None:
        self._total = metrics.idempotent_answers_total
        self._store: PartitionStore | None = None
        self._changes: dict[bytes, bytes | None] = {}
        self._kept = 0
        #: No stored answer is older, epoch ms; None when none is stored.
        self._oldest_ms: int | None = None

    def load(self, store: PartitionStore) -> None:
        """Take up from the state."""
        self.clear()
        self._store = store
        self._oldest_ms = next((_at_ms(key) for key, _ in store.scan(Kind.ANSWER.value)), None)

    def clear(self) -> None:
        """Forget what is in memory only."""
        self._store, self._oldest_ms, self._kept = None, None, 0
        self._changes.clear()

    @property
    def dirty(self) -> bool:
        return bool(self._changes)

    def due(self, now_ms: int) -> bool:
        """Whether a stored answer has run out."""
        return self._oldest_ms is not None and self._oldest_ms <= now_ms - ANSWER_WINDOW_MS

    def find(self, customer: bytes, key_hash: int, now_ms: int) -> bytes | None:
        """The answer given under a key, as it was given; None when there is none, or it has run out."""
        return find_answer(self._get, customer, key_hash, now_ms)

    def keep(self, customer: bytes, answered: Answered, answer: bytes, now_ms: int) -> None:
        """Remember an answer, in the batch in hand. The customer's oldest go, and what has run out.

        Args:
            customer: the customer key.
            answered: its key and when it was decided.
            answer: as it was given.
            now_ms: the batch's.
        """
        if _expired(answered, now_ms):
            return
        listed = _listed(self._get, customer)
        staying = [one for one in listed if not _expired(one, now_ms) and one.key_hash != answered.key_hash]
        pushed_out = len(staying) - ANSWERS_MAX + 1
        if pushed_out > 0:
            self._total.labels("pushed_out").inc(pushed_out)
            staying = staying[pushed_out:]
        for one in listed:
            if one not in staying:
                self._changes[answer_key(one.at_ms, customer, one.key_hash)] = None
        self._changes[answer_key(answered.at_ms, customer, answered.key_hash)] = pack(Kind.ANSWER, answer)
        self._changes[answers_key(customer)] = _packed([*staying, answered])
        self._kept += 1
        self._total.labels("kept").inc()

    def keys_of(self, customer: bytes) -> list[bytes]:
        """Every stored key of a customer's answers, that of their list last; the batch in hand's too."""
        listed = [answer_key(one.at_ms, customer, one.key_hash) for one in _listed(self._get, customer)]
        return [*listed, answers_key(customer)] if listed else []

    def forget(self, customer: bytes) -> None:
        """Delete all answers of a customer, in the batch in hand."""
        for key in self.keys_of(customer):
            self._changes[key] = None

    def changes(self, now_ms: int) -> Iterator[Change]:
        """What the batch being written stores: answers, lists, and deletions of what has run out."""
        if self.due(now_ms):
            self._sweep(now_ms)
        yield from self._changes.items()

    def written(self) -> None:
        """The batch is stored."""
        for key, value in self._changes.items():
            if value is not None and key.startswith(Kind.ANSWER.value):
                at_ms = _at_ms(key)
                self._oldest_ms = at_ms if self._oldest_ms is None else min(self._oldest_ms, at_ms)
        self._changes.clear()
        self._kept = 0

    def _sweep(self, now_ms: int) -> None:
        """Delete the oldest that have run out, and the lists that name no other."""
        end = answer_time_key(now_ms - ANSWER_WINDOW_MS + 1)
        swept, customers = b"", dict[bytes, None]()
        limit = ANSWER_SWEEP + 2 * self._kept
        self._oldest_ms, begin = None, answer_time_key(self._oldest_ms or 0)
        for number, (key, _) in enumerate(self._stored().scan(Kind.ANSWER.value, begin)):
            if key >= end or number >= limit:
                self._oldest_ms = _at_ms(key)
                break
            self._changes[key], swept = None, key
            customers[split_answer_key(key)[1]] = None
        for customer in customers:
            keys = self.keys_of(customer)
            if keys and max(keys[:-1]) <= swept:
                self._changes[keys[-1]] = None

    def _get(self, key: bytes) -> bytes | None:
        if key in self._changes:
            return self._changes[key]
        return self._stored().get(key)

    def _stored(self) -> PartitionStore:
        if self._store is None:
            raise AssertionError("the partition has no store")
        return self._store


def find_answer(get: Get, customer: bytes, key_hash: int, now_ms: int) -> bytes | None:
    """The answer given under a key, as it was given; None when there is none, or it has run out.

    Args:
        get: the store's lookup.
        customer: the customer key.
        key_hash: see `app.decision.idempotency.answer_hash`.
        now_ms: epoch ms.

    Raises:
        StateFormatError: a value has an unknown version.
    """
    for one in reversed(_listed(get, customer)):
        if one.key_hash == key_hash and not _expired(one, now_ms):
            stored = get(answer_key(one.at_ms, customer, key_hash))
            return None if stored is None else bytes(unpack(Kind.ANSWER, stored))
    return None


def _listed(get: Get, customer: bytes) -> list[Answered]:
    """A customer's answers, in the order they were folded."""
    stored = get(answers_key(customer))
    return [] if stored is None else _decoder.decode(unpack(Kind.ANSWERS, stored))


def _packed(listed: list[Answered]) -> bytes:
    return pack(Kind.ANSWERS, _encoder.encode(listed))


def _expired(one: Answered, now_ms: int) -> bool:
    return one.at_ms <= now_ms - ANSWER_WINDOW_MS


def _at_ms(key: bytes) -> int:
    return split_answer_key(key)[0]
