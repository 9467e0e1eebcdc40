"""Where each audit entry lies on its topic and what it is about: enough to find a page without reading all.

Rules of this module:

1.  An entry takes 28 bytes here, whatever it holds: offset, time, the number of its (kind, action, actor),
    and 64 bits of its subject's id. Two ids with the same 64 bits would be found together.
2.  At most `ENTRIES_MAX` are kept, all tenants together. Past that the tenant with the most forgets the older
    half of its; they stay on the topic.
3.  One thread fills it, others look things up; a lock keeps the columns of a tenant together.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tables.audit_chain import Chain, Chains

#: 28 MB.
ENTRIES_MAX = 1_000_000


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What entries to find; None means any. Instants are epoch ms, `until_ms` the first one past them."""

    kind: str | None = None
    subject: str | None = None
    action: str | None = None
    actor: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class AuditFound(msgspec.Struct, frozen=True):
    """The offsets of one page, newest first, and how many entries there are in all."""

    offsets: Sequence[int]
    total: int


class _Entries:
    """One tenant's, in columns."""

    __slots__ = ("at_ms", "facets", "forgotten", "offsets", "subjects")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.at_ms = array("q")
        self.facets = array("I")
        self.subjects = array("Q")
        self.forgotten = 0

    def forget(self, count: int) -> None:
        """Forget the oldest. What a reader holds stays as it is."""
        self.offsets, self.at_ms = self.offsets[count:], self.at_ms[count:]
        self.facets, self.subjects = self.facets[count:], self.subjects[count:]
        self.forgotten += count


_NOTHING = _Entries()


class AuditIndex:
    """Every tenant's entries and chains, filled by whoever reads the topic from its beginning."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew: the topic is read from its beginning again."""
        self._tenants: dict[str, _Entries] = {}
        self._facets: dict[tuple[str, str, str], int] = {}
        self._chains = Chains()
        self._count = 0
        #: Whether all is here that was on the topic when its reader began.
        self.read = False

    def __len__(self) -> int:
        return self._count

    def chain(self, tenant_id: str) -> Chain:
        """A tenant's chain as far as it was read."""
        return self._chains.of(tenant_id)

    def forgotten(self, tenant_id: str) -> int:
        """How many of a tenant's oldest entries cannot be found here any more."""
        return self._tenants.get(tenant_id, _NOTHING).forgotten

    def add(self, offset: int, key: bytes | None, value: bytes | None) -> str | None:
        """Take in the next record; what is wrong with its chain when this record broke it, else None."""
        tenant_id, entry = self._chains.take(key, value)
        if entry is not None:
            with self._lock:
                self._place(offset, tenant_id, entry)
        return self._chains.newly_broken

    def find(self, tenant_id: str, wanted: AuditFilter, limit: int, offset: int) -> AuditFound:
        """A page of the entries that match, newest first."""
        with self._lock:
            entries = self._tenants.get(tenant_id, _NOTHING)
            offsets, columns = entries.offsets, (entries.at_ms, entries.facets, entries.subjects)
            count, facets = len(offsets), self._wanted_facets(wanted)
        places: Sequence[int] = range(count)
        if wanted != _ANY:
            places = _matching(wanted, facets, count, columns)
        end = len(places) - offset
        page = places[max(end - limit, 0) : end] if end > 0 else ()
        return AuditFound([offsets[place] for place in reversed(page)], len(places))

    def _wanted_facets(self, wanted: AuditFilter) -> set[int]:
        given = (wanted.kind, wanted.action, wanted.actor)
        return {
            number
            for facet, number in self._facets.items()
            if all(want is None or want == held for want, held in zip(given, facet, strict=True))
        }

    def _place(self, offset: int, tenant_id: str, entry: Mapping[str, Any]) -> None:
        entries = self._tenants.setdefault(tenant_id, _Entries())
        facet = (str(entry.get("kind")), str(entry.get("action")), _actor(entry))
        entries.at_ms.append(_ms(entry.get("at")))
        entries.facets.append(self._facets.setdefault(facet, len(self._facets)))
        entries.subjects.append(_bits(str(entry.get("id"))))
        entries.offsets.append(offset)
        self._count += 1
        if self._count > self._entries_max:
            largest = max(self._tenants.values(), key=lambda one: len(one.offsets))
            half = (len(largest.offsets) + 1) // 2
            largest.forget(half)
            self._count -= half


_ANY = AuditFilter()


def _matching(
    wanted: AuditFilter,
    facets: set[int],
    count: int,
    columns: tuple[Iterable[int], Iterable[int], Iterable[int]],
) -> list[int]:
    """The places of those that match, among the first `count` of the columns time, facet and subject."""
    subject = None if wanted.subject is None else _bits(wanted.subject)
    since = -(2**63) if wanted.since_ms is None else wanted.since_ms
    until = 2**63 if wanted.until_ms is None else wanted.until_ms
    return [
        place
        for place, at_ms, facet, held in zip(range(count), *columns, strict=False)
        if facet in facets and since <= at_ms < until and (subject is None or held == subject)
    ]


def _actor(entry: Mapping[str, Any]) -> str:
    actor = entry.get("actor")
    return str(actor.get("id")) if isinstance(actor, dict) else ""


def _bits(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _ms(at: object) -> int:
    try:
        instant = datetime.fromisoformat(str(at))
    except ValueError:
        return 0
    return int(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp() * 1000)
