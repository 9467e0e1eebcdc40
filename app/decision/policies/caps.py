"""Caps: frequency_cap, cooldown and customer_total_cap, which compare a count with a maximum.

Rules of this module:

1.  A cap blocks when the contacts it counts reach the maximum in any of its windows. A cooldown is a cap of
    one, whose window is the cooldown.
2.  A cap counts the contacts in the scope it stands in; one restricted to channels neither counts nor
    blocks on others. A customer's total counts all contacts, whatever its scopes: they say whom it blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.decision.entities import ContactPolicy, DurationMs, Part, Ref
from app.decision.index import EntityIndex
from app.decision.loading import load_struct
from app.decision.policies.history import History
from app.decision.policies.rules import Reference, Rule, ids_of, listed
from app.decision.policies.windows import UNITS, CountingWindow, too_long, window_of
from app.decision.policies.zones import LocalClock
from app.decision.problems import Problem, join

Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class FrequencyCapConfig(Part, frozen=True, kw_only=True):
    """At most so many contacts in each window given; `total` never ends."""

    per_hour: Count | None = None
    per_day: Count | None = None
    per_week: Count | None = None
    per_month: Count | None = None
    total: Count | None = None
    max: Count | None = None
    window_ms: DurationMs | None = None
    channels: tuple[Ref, ...] = ()


class CooldownConfig(Part, frozen=True, kw_only=True):
    """At least so long between contacts."""

    cooldown_ms: DurationMs


class CountConfig(Part, frozen=True, kw_only=True):
    """At most so many contacts in a window."""

    max: Count
    window_ms: DurationMs


class Cap(Rule, frozen=True):
    """Blocks when the contacts counted reach the maximum in any window."""

    #: (window, most contacts)
    windows: tuple[tuple[CountingWindow, int], ...]
    #: The channels, by id or key, that it counts and blocks; None means all.
    channels: tuple[str, ...] | None = None
    #: Whether it counts all contacts of the customer, not only those in its scope.
    whole_customer: bool = False

    def references(self) -> Iterator[Reference]:
        """Its channels."""
        return listed(self.channels or (), "channels", "channels")

    def resolved(self, index: EntityIndex) -> Cap:
        """The cap with its channels by id."""
        if self.channels is None:
            return self
        return msgspec.structs.replace(self, channels=ids_of(self.channels, "channels", index))

    def numbers(self, history: History, clock: LocalClock, taken: int) -> dict[str, Any]:
        """Count, maximum and length of the window with the least room."""

        def room(one: tuple[CountingWindow, int]) -> int:
            return one[1] - history.count(one[0].since_ms(clock))

        window, most = min(self.windows, key=room)
        counted = history.counted(window.since_ms(clock), taken)
        return {"count": counted.pop("count"), "max": most, **window.numbers(clock), **counted}


class Cooldown(Cap, frozen=True):
    """Blocks while the last contact in scope is younger than the cooldown."""

    def numbers(self, history: History, clock: LocalClock, taken: int) -> dict[str, Any]:
        """The age of the last contact, and the cooldown."""
        cooldown_ms = self.windows[0][0].length_ms
        if taken:
            return {"ageMs": 0, "cooldownMs": cooldown_ms, "takenInThisDecision": taken}
        last_ms = history.last_ms()
        age_ms = None if last_ms is None else clock.now_ms - last_ms
        return {"ageMs": age_ms, "cooldownMs": cooldown_ms}


class CategoryCap(Cap, frozen=True):
    """A category_suppression in the scope of a category: blocks once any of its offers was delivered."""

    category_id: str = ""

    def numbers(self, history: History, clock: LocalClock, taken: int) -> dict[str, Any]:
        """The category, and what was delivered of it in the window."""
        window = self.windows[0][0]
        counted = history.counted(window.since_ms(clock), taken)
        count = {"categoryId": self.category_id, "count": counted.pop("count")}
        return {**count, **window.numbers(clock), **counted}


def frequency_cap(policy: ContactPolicy, at: str) -> Cap | list[Problem]:
    """The cap of a policy, or what is wrong with its config; `at` is the config's path."""
    cap = load_struct(FrequencyCapConfig, policy.config, at)
    if isinstance(cap, list):
        return cap
    if (cap.max is None) is not (cap.window_ms is None):
        missing = "max" if cap.max is None else "windowMs"
        return [Problem(join(at, missing), "is required: max and windowMs go together")]
    windows = _named_windows(cap, policy.calendar)
    if cap.max is not None and cap.window_ms is not None:
        window = window_of(cap.window_ms, policy.calendar, join(at, "windowMs"))
        if isinstance(window, Problem):
            return [window]
        windows.append((window, cap.max))
    if policy.calendar and cap.total is not None and not windows:
        calendar = f"{at.removesuffix('config')}calendar"
        return [Problem(calendar, "has no effect on total, which never ends; leave it out or false")]
    if cap.total is not None:
        windows.append((CountingWindow(), cap.total))
    if not windows:
        limits = "perHour, perDay, perWeek, perMonth, total, or max with windowMs"
        return [Problem(at, f"must set at least one of: {limits}")]
    return Cap(tuple(windows), cap.channels or None)


def _named_windows(cap: FrequencyCapConfig, calendar: bool) -> list[tuple[CountingWindow, int]]:
    maxima = (cap.per_hour, cap.per_day, cap.per_week, cap.per_month)
    return [
        (CountingWindow(unit=unit) if calendar else CountingWindow(length_ms=length_ms), most)
        for (length_ms, unit), most in zip(UNITS.items(), maxima, strict=True)
        if most is not None
    ]


def cooldown(policy: ContactPolicy, at: str) -> Cooldown | list[Problem]:
    """The cooldown of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(CooldownConfig, policy.config, at)
    if isinstance(config, list):
        return config
    problem = too_long(config.cooldown_ms, join(at, "cooldownMs"))
    if problem is not None:
        return [problem]
    return Cooldown(((CountingWindow(length_ms=config.cooldown_ms), 1),))


def customer_total_cap(policy: ContactPolicy, at: str) -> Cap | list[Problem]:
    """The cap on all contacts of the customer, or what is wrong with its config; `at` is its path."""
    config = load_struct(CountConfig, policy.config, at)
    if isinstance(config, list):
        return config
    window = window_of(config.window_ms, policy.calendar, join(at, "windowMs"))
    if isinstance(window, Problem):
        return [window]
    return Cap(((window, config.max),), whole_customer=True)
