"""The caps of one flow, counted together.

Rules of this module:

1.  A customer's contacts are looked at once a request: sorted by what the caps count, then counted in each
    window once, however many caps share it.
2.  A cap says how much room it leaves: how many more contacts it allows now. No room blocks.
3.  The candidates taken in this decision use up room of every cap that counts them, whatever their channel
    reports.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from app.decision.decision import CustomerView
from app.decision.index import EntityIndex
from app.decision.policies.caps import Cap
from app.decision.policies.counters import ContactIndex, Counted
from app.decision.policies.history import NO_HISTORY, History
from app.decision.policies.windows import CountingWindow
from app.decision.policies.zones import LocalClock
from app.decision.scopes import EVERYWHERE, Where

UNLIMITED = sys.maxsize

#: Of one counter: a window, by place, with (bit, most contacts) of the caps that compare it.
_Plan = tuple[tuple[int, tuple[tuple[int, int], ...]], ...]


def counted_where(cap: Cap, where: Where) -> Where:
    """Where a contact counts against a cap that stands in a scope."""
    return EVERYWHERE if cap.whole_customer or where[0] == "segment" else where


class CapCounts:
    """Every (cap, scope) of a flow by its bit, and the counters that they share."""

    __slots__ = (
        "_caps",
        "_contacts",
        "_counters",
        "_offsets",
        "_plans",
        "_room",
        "_units",
        "bits",
        "blocked",
    )

    def __init__(self, entries: Sequence[tuple[int, Cap, Where]], index: EntityIndex) -> None:
        counters: dict[Counted, int] = {}
        windows: dict[CountingWindow, int] = {}
        plans: dict[int, dict[int, list[tuple[int, int]]]] = {}
        self._caps: dict[int, Cap] = {}
        #: Which counter each cap compares.
        self._counters: dict[int, int] = {}
        for bit, cap, where in entries:
            channels = None if cap.channels is None else frozenset(cap.channels)
            counter = counters.setdefault((counted_where(cap, where), channels), len(counters))
            self._caps[bit] = cap
            self._counters[bit] = counter
            plan = plans.setdefault(counter, {})
            for window, most in cap.windows:
                plan.setdefault(windows.setdefault(window, len(windows)), []).append((bit, most))
        self._contacts = ContactIndex(counters, index)
        self._plans: list[_Plan] = [
            tuple((window, tuple(caps)) for window, caps in plans[counter].items())
            for counter in range(len(counters))
        ]
        #: How long before now each window begins; those of calendar windows are worked out each time.
        self._offsets = [window.reach_ms for window in windows]
        self._units = [(place, window) for window, place in windows.items() if window.unit is not None]
        #: What a customer without contacts has, by bit.
        self._room = [UNLIMITED] * (max(self._caps, default=-1) + 1)
        for bit, cap in self._caps.items():
            self._room[bit] = min(most for _, most in cap.windows)
        #: Every cap, and those that block a customer without contacts, as masks.
        self.bits = sum(1 << bit for bit in self._caps)
        self.blocked = sum(1 << bit for bit in self._caps if self._room[bit] <= 0)

    def assess(self, customer: CustomerView, clock: LocalClock) -> tuple[list[int], dict[int, History], int]:
        """The room of each cap by bit, the contacts by counter, and the caps without room as a mask."""
        now_ms = clock.now_ms
        since = [now_ms - offset for offset in self._offsets]
        for place, window in self._units:
            since[place] = window.since_ms(clock)
        room, blocked = self._room.copy(), self.blocked
        found = self._contacts.sort(customer.contacts, customer.totals, min(since))
        for counter, history in found.items():
            for window_place, caps in self._plans[counter]:
                count = history.count(since[window_place])
                if not count:
                    continue
                for bit, most in caps:
                    left = most - count
                    if left < room[bit]:
                        room[bit] = left
                        if left <= 0:
                            blocked |= 1 << bit
        return room, found, blocked

    def numbers(
        self, bit: int, room: Sequence[int], found: dict[int, History], clock: LocalClock
    ) -> dict[str, Any]:
        """What a cap compares at this moment, with the candidates taken so far."""
        cap = self._caps[bit]
        history = found.get(self._counters[bit], NO_HISTORY)
        before = min(most - history.count(window.since_ms(clock)) for window, most in cap.windows)
        return cap.numbers(history, clock, before - room[bit])
