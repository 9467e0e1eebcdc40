"""Contact policies of one flow: what a customer's contacts block.

Rules of this module:

1.  A policy holds in each of its scopes on its own: a cap of 3 on two offers allows 3 of each. Without
    scopes it holds everywhere. Policies take precedence by priority (descending), then by id.
2.  The customer's contacts are looked at once a request; a candidate's check is then one AND of masks.
3.  Within one decision each candidate taken uses up room of every scope it stands in, whatever its channel
    reports, so that a cap of 3 with one left gives one, and a cooldown gives one.
4.  A limit restricted to channels neither counts nor blocks on others.
5.  A mandatory offer passes policies that can be bypassed, except frequency caps; it still uses up room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from app.decision.contact_index import ContactIndex, Counted
from app.decision.entities import ContactPolicy
from app.decision.index import EntityIndex
from app.decision.limits import HOLDS_FOR_MANDATORY, Limit, compile_limit
from app.decision.reasons import Reason, reason
from app.decision.scopes import ScopeMasks, Standing, resolve_scopes
from app.decision.state import Contact


class Entry(msgspec.Struct, frozen=True):
    """One policy in one of its scopes; its place in the board is its bit."""

    #: Why it removes a candidate: in the first pass, and in the second, during the rank walk.
    reason: Reason
    rank_reason: Reason
    limit: Limit
    #: Which list of contact times it reads.
    counter: int


class PolicyBoard:
    """The contact policies of one flow, compiled against its tenant's catalogue."""

    __slots__ = (
        "_blocked",
        "_by_counter",
        "_bypassed",
        "_channel_masks",
        "_contacts",
        "_horizon_ms",
        "_masks",
        "_room",
        "entries",
    )

    def __init__(self, policies: list[ContactPolicy], index: EntityIndex) -> None:
        self.entries: list[Entry] = []
        self._masks = ScopeMasks()
        self._bypassed = 0
        self._channel_masks: dict[frozenset[str], int] = {}
        counters: dict[Counted, int] = {}
        for policy in sorted(policies, key=lambda policy: (-policy.priority, policy.id)):
            limit = compile_limit(policy)
            if not isinstance(limit, list):
                self._add(policy, limit, counters, index)
        self._contacts = ContactIndex(counters, index)
        self._by_counter: list[list[int]] = [[] for _ in counters]
        for bit, entry in enumerate(self.entries):
            self._by_counter[entry.counter].append(bit)
        #: What a customer without contacts has.
        self._room = [entry.limit.room((), 0) for entry in self.entries]
        self._blocked = sum(1 << bit for bit, room in enumerate(self._room) if room <= 0)
        #: Contacts this old matter to no policy; None when all matter.
        self._horizon_ms = _longest([entry.limit.horizon_ms for entry in self.entries])

    def _add(
        self, policy: ContactPolicy, limit: Limit, counters: dict[Counted, int], index: EntityIndex
    ) -> None:
        ids = [index.id_of("channels", reference) for reference in limit.channels]
        channels = frozenset(one for one in ids if one is not None) if limit.channels else None
        first = reason("contact_policy", policy.kind, policy.id)
        second = reason("rank", policy.kind, policy.id)
        for where in resolve_scopes(policy.scopes, index):
            bit = len(self.entries)
            counter = counters.setdefault((where, channels), len(counters))
            self.entries.append(Entry(first, second, limit, counter))
            self._masks.add(where, bit)
            if policy.bypassable and policy.kind not in HOLDS_FOR_MANDATORY:
                self._bypassed |= 1 << bit
            if channels is not None:
                self._channel_masks[channels] = self._channel_masks.get(channels, 0) | 1 << bit

    def blocking(self, standing: Standing, mandatory: bool) -> int:
        """The entries that remove a candidate standing there once they have no room, as a mask."""
        mask = self._covering(standing)
        return mask & ~self._bypassed if mandatory else mask

    def used(self, standing: Standing) -> tuple[int, ...]:
        """The entries whose room a candidate standing there uses up when taken, as bits."""
        mask = self._covering(standing)
        return tuple(bit for bit in range(len(self.entries)) if mask >> bit & 1)

    def _covering(self, standing: Standing) -> int:
        mask = self._masks.mask(standing)
        for channels, restricted in self._channel_masks.items():
            if standing.channel_id not in channels:
                mask &= ~restricted
        return mask

    def assess(self, contacts: Iterable[Contact], now_ms: int) -> Assessment:
        """What this customer's contacts block at `now_ms` (epoch ms), for every scope at once."""
        room = self._room.copy()
        blocked = self._blocked
        times: dict[int, list[int]] = {}
        if self.entries:
            oldest_ms = None if self._horizon_ms is None else now_ms - self._horizon_ms
            times = self._contacts.times(contacts, oldest_ms)
        for counter, at in times.items():
            at.sort()
            for bit in self._by_counter[counter]:
                left = room[bit] = self.entries[bit].limit.room(at, now_ms)
                if left <= 0:
                    blocked |= 1 << bit
        return Assessment(self.entries, times, room, blocked, now_ms)


class Assessment:
    """What one customer's contacts, and the candidates taken so far, block.

    Invariant: `blocked` holds exactly the bits of the entries that have no room left.
    """

    __slots__ = ("_entries", "_now_ms", "_room", "_times", "blocked")

    def __init__(
        self, entries: list[Entry], times: dict[int, list[int]], room: list[int], blocked: int, now_ms: int
    ) -> None:
        self._entries = entries
        self._times = times
        self._room = room
        self._now_ms = now_ms
        self.blocked = blocked

    def take(self, used: tuple[int, ...]) -> None:
        """Count a candidate taken into this decision against the entries it uses up."""
        room = self._room
        for bit in used:
            room[bit] -= 1
            if room[bit] <= 0:
                self.blocked |= 1 << bit

    def numbers(self, bit: int) -> dict[str, Any]:
        """What the entry compares at this moment, with the candidates taken so far."""
        entry = self._entries[bit]
        times = self._times.get(entry.counter, [])
        taken = entry.limit.room(times, self._now_ms) - self._room[bit]
        return entry.limit.numbers(times, self._now_ms, taken)


def _longest(horizons: list[int | None]) -> int | None:
    """The longest of several horizons; None, for ever, beats any."""
    if None in horizons:
        return None
    return max((horizon_ms for horizon_ms in horizons if horizon_ms is not None), default=0)
