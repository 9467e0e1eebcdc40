"""Running totals across customers, as one partition holds them: its own, and those that it sums as owner.

Rules:

1.  `own` are the totals of this partition's customers; only the fold adds to them. `sums` are, for the keys
    that this partition owns, the newest totals that each partition told.
2.  What is told to others is durable here: totals leave with the number of the batch that wrote them as their
    version. That number only grows, whoever owns the partition.
3.  After a taking everything is to be told again: what was told before it is not known.
4.  All of it is in memory. There are as many keys as offers, categories, variants and models that were ever
    counted.
5.  The month's decisions of a tenant are told only while it has a quota: see `tell_decided`. One key each,
    with the month inside, so that months do not pile up.
6.  A model's state is decoded when it first learns here, and encoded once for each batch: `own` has it as of
    the last batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from app.decision.evidence import DECISIONS, Learner, added, deltas, encode_monthly, monthly_of
from app.decision.learning.evidence import Tally
from app.decision.months import Monthly, month_of
from app.decision.notices import Totals
from app.decision.observations import Observation
from tables.codec import Change
from tables.layout import Kind, pack, shared_key, split_sum_key, sum_key, unpack
from tables.store import PartitionStore


class _Told(msgspec.Struct, array_like=True, frozen=True):
    """One partition's totals as the owner stores them."""

    version: int
    totals: bytes


#: What ends the name of a tenant's decisions.
_DECISIONS = b":" + DECISIONS.encode()

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Told).decode

#: What is to be told of a key: its version, and the totals of which it is made.
Telling = tuple[int, tuple[bytes, ...]]


class _Learnt(msgspec.Struct):
    """A model's state as the fold has it, and the model."""

    learner: Learner
    state: Any


class Counters:
    """One partition's totals and sums."""

    def __init__(self) -> None:
        self.own: dict[bytes, bytes] = {}
        self.sums: dict[bytes, dict[int, _Told]] = {}
        self._learnt: dict[bytes, _Learnt] = {}
        #: By tenant, as of the last record folded; encoded once for each batch.
        self._decided: dict[str, Monthly] = {}
        self._own_changed: dict[bytes, None] = {}
        self._sums_changed: dict[tuple[bytes, int], None] = {}
        #: To be told to the keys' owners, and to everybody.
        self.own_untold: dict[bytes, Telling] = {}
        self.sums_untold: dict[bytes, Telling] = {}
        #: Of tenants that had no quota when their decisions became durable.
        self._decided_untold: dict[bytes, Telling] = {}

    def load(self, store: PartitionStore, version: int) -> None:
        """Take up from the store, whose last batch has this number."""
        self.clear()
        for key, value in store.scan(Kind.TOTALS.value):
            self.own[key[1:]] = bytes(unpack(Kind.TOTALS, value))
        for key, value in store.scan(Kind.SUMS.value):
            name, partition = split_sum_key(key)
            self.sums.setdefault(name, {})[partition] = _decode(unpack(Kind.SUMS, value))
        self._tell(self.own, self.sums, version)

    def clear(self) -> None:
        for each in (self.own, self.sums, self._learnt, self._own_changed, self._sums_changed, self._decided):
            each.clear()
        self._decided_untold.clear()
        self.own_untold.clear()
        self.sums_untold.clear()

    def __len__(self) -> int:
        return len(self.own) + len(self.sums)

    def observe(self, tenant_id: str, observation: Observation, learner: Learner | None) -> None:
        """Count an observation of one of this partition's customers; its model learns when it can."""
        for key, delta in deltas(observation):
            self.add(tenant_id, key, delta)
        if learner is not None:
            name = shared_key(tenant_id, f"model/{observation.model_id}")
            self._learn(name, learner, observation)

    def add(self, tenant_id: str, key: str, delta: Tally) -> None:
        """Count so much more for a key of this partition's customers."""
        name = shared_key(tenant_id, key)
        self._change(name, added(self.own.get(name), delta))

    def count_decision(self, tenant_id: str, at_ms: int) -> None:
        """Count a decision with something shown, made at an instant (epoch ms), into its month."""
        name = shared_key(tenant_id, DECISIONS)
        self._decided[tenant_id] = self._decisions(tenant_id, name).and_one(month_of(at_ms))
        self._own_changed[name] = None

    def decided(self, tenant_id: str, month: int) -> int:
        """Decisions of a month with something shown, of this partition's customers, as folded so far."""
        return self._decisions(tenant_id, shared_key(tenant_id, DECISIONS)).of(month)

    def _decisions(self, tenant_id: str, name: bytes) -> Monthly:
        known = self._decided.get(tenant_id)
        return monthly_of(self.own.get(name)) if known is None else known

    def tell_decided(self, tenant_ids: Iterable[str]) -> None:
        """These tenants have a quota: their month's decisions are to be told too."""
        for tenant_id in tenant_ids:
            telling = self._decided_untold.pop(shared_key(tenant_id, DECISIONS), None)
            if telling is not None:
                self.own_untold[shared_key(tenant_id, DECISIONS)] = telling

    def _learn(self, name: bytes, learner: Learner, observation: Observation) -> None:
        known = self._learnt.get(name)
        if known is None:
            known = self._learnt[name] = _Learnt(learner, learner.decode(self.own.get(name)))
        known.learner = learner
        known.state = learner.learn(known.state, observation.features, observation.kind == "positive")
        self._own_changed[name] = None

    def _change(self, name: bytes, totals: bytes) -> None:
        self.own[name] = totals
        self._own_changed[name] = None

    def hear(self, totals: Totals) -> bool:
        """Take in what a partition told of its totals; whether that is news."""
        name = shared_key(totals.tenant_id, totals.key)
        told = self.sums.setdefault(name, {})
        known = told.get(totals.partition)
        if known is not None and totals.version <= known.version:
            return False
        told[totals.partition] = _Told(totals.version, totals.totals)
        self._sums_changed[name, totals.partition] = None
        return True

    @property
    def dirty(self) -> bool:
        return bool(self._own_changed or self._sums_changed)

    def changes(self) -> Iterator[Change]:
        for name in self._own_changed:
            if (learnt := self._learnt.get(name)) is not None:
                self.own[name] = learnt.learner.encode(learnt.state)
            elif _is_decisions(name):
                self.own[name] = encode_monthly(self._decided[name[: -len(_DECISIONS)].decode()])
            yield Kind.TOTALS.value + name, pack(Kind.TOTALS, self.own[name])
        for name, partition in self._sums_changed:
            yield sum_key(name, partition), pack(Kind.SUMS, _encode(self.sums[name][partition]))

    def written(self, version: int) -> None:
        """The batch with this number holds all changes: they may be told."""
        self._tell(self._own_changed, dict.fromkeys(name for name, _ in self._sums_changed), version)
        self._own_changed.clear()
        self._sums_changed.clear()

    def _tell(self, own: Iterable[bytes], sums: Iterable[bytes], version: int) -> None:
        for name in own:
            untold = self._decided_untold if _is_decisions(name) else self.own_untold
            untold[name] = (version, (self.own[name],))
        for name in sums:
            self.sums_untold[name] = (version, tuple(told.totals for told in self.sums[name].values()))


def _is_decisions(name: bytes) -> bool:
    # Tenant ids have no colon, ids of offers may.
    return name.endswith(_DECISIONS) and name.find(b":") == len(name) - len(_DECISIONS)
