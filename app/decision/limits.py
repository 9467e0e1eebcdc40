"""Limits: what each kind of contact policy compares.

Rules of this module:

1.  A contact counts while it is younger than the window: one exactly one window old no longer counts. One
    stamped ahead of now counts.
2.  A limit says how much room it leaves: how many more contacts its scope may have now. No room blocks. A
    limit that does not count contacts leaves `UNLIMITED` room or none.
3.  What blocks can be explained: `numbers` gives what was compared.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from app.decision.entities import ContactPolicy, DurationMs, Part, Ref
from app.decision.loading import load_struct
from app.decision.problems import Problem, join

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
UNLIMITED = sys.maxsize

Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class FrequencyCapConfig(Part, frozen=True, kw_only=True):
    """At most so many contacts in each window given; months have 30 days, `total` never ends."""

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


class Limit(Protocol):
    """What a kind of contact policy compares; `times` are the contacts in scope, epoch ms, ascending."""

    @property
    def horizon_ms(self) -> int | None:
        """How far back it looks; None for ever."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels, by id or key, that it counts and blocks; none means all."""

    def room(self, times: Sequence[int], now_ms: int) -> int:
        """How many more contacts the scope may have now; none or less blocks."""

    def numbers(self, times: Sequence[int], now_ms: int, taken: int) -> dict[str, Any]:
        """What was compared; `taken` candidates of this very decision count as contacts made now."""


class FrequencyCap(msgspec.Struct, frozen=True):
    """Blocks when the contacts in scope reach the maximum in any window."""

    #: (length in ms, None for ever; most contacts)
    windows: tuple[tuple[int | None, int], ...]
    channels: tuple[str, ...] = ()

    @property
    def horizon_ms(self) -> int | None:
        """The longest window."""
        lengths = [window_ms for window_ms, _ in self.windows if window_ms is not None]
        return max(lengths) if len(lengths) == len(self.windows) else None

    def room(self, times: Sequence[int], now_ms: int) -> int:
        """The least room that any window leaves."""
        return min(most - _younger(times, window_ms, now_ms) for window_ms, most in self.windows)

    def numbers(self, times: Sequence[int], now_ms: int, taken: int) -> dict[str, Any]:
        """Count, maximum and length of the window with the least room."""
        room = self.room(times, now_ms)
        for window_ms, most in self.windows:
            count = _younger(times, window_ms, now_ms)
            if most - count == room:
                break
        compared = {"count": count + taken, "max": most, "windowMs": window_ms}
        return {**compared, "takenInThisDecision": taken} if taken else compared


class Cooldown(msgspec.Struct, frozen=True):
    """Blocks while the last contact in scope is younger than the cooldown: a cap of one."""

    cooldown_ms: int

    @property
    def horizon_ms(self) -> int | None:
        """The cooldown itself."""
        return self.cooldown_ms

    @property
    def channels(self) -> tuple[str, ...]:
        """All."""
        return ()

    def room(self, times: Sequence[int], now_ms: int) -> int:
        """One when the last contact is old enough, else none."""
        return 0 if times and times[-1] > now_ms - self.cooldown_ms else 1

    def numbers(self, times: Sequence[int], now_ms: int, taken: int) -> dict[str, Any]:
        """The age of the last contact, and the cooldown."""
        if taken:
            return {"ageMs": 0, "cooldownMs": self.cooldown_ms, "takenInThisDecision": taken}
        age_ms = now_ms - times[-1] if times else None
        return {"ageMs": age_ms, "cooldownMs": self.cooldown_ms}


def _younger(times: Sequence[int], window_ms: int | None, now_ms: int) -> int:
    return len(times) if window_ms is None else len(times) - bisect_right(times, now_ms - window_ms)


def _frequency_cap(config: dict[str, Any], path: str) -> FrequencyCap | list[Problem]:
    cap = load_struct(FrequencyCapConfig, config, path)
    if isinstance(cap, list):
        return cap
    if (cap.max is None) is not (cap.window_ms is None):
        missing = "max" if cap.max is None else "windowMs"
        return [Problem(join(path, missing), "is required: max and windowMs go together")]
    windows = [
        (window_ms, most)
        for window_ms, most in (
            (HOUR_MS, cap.per_hour),
            (DAY_MS, cap.per_day),
            (7 * DAY_MS, cap.per_week),
            (30 * DAY_MS, cap.per_month),
            (cap.window_ms, cap.max),
            (None, cap.total),
        )
        if most is not None
    ]
    if not windows:
        limits = "perHour, perDay, perWeek, perMonth, total, or max with windowMs"
        return [Problem(path, f"must set at least one of: {limits}")]
    return FrequencyCap(tuple(windows), cap.channels)


def _cooldown(config: dict[str, Any], path: str) -> Cooldown | list[Problem]:
    cooldown = load_struct(CooldownConfig, config, path)
    return cooldown if isinstance(cooldown, list) else Cooldown(cooldown.cooldown_ms)


#: How each kind of contact policy becomes a limit.
POLICY_KINDS: Mapping[str, Callable[[dict[str, Any], str], Limit | list[Problem]]] = {
    "frequency_cap": _frequency_cap,
    "cooldown": _cooldown,
}

#: Kinds that hold for mandatory offers too, bypassable or not.
HOLDS_FOR_MANDATORY = frozenset({"frequency_cap", "cross_channel_cap"})


def compile_limit(policy: ContactPolicy, path: str = "config") -> Limit | list[Problem]:
    """What the policy compares, or what is wrong with its config."""
    compile_kind = POLICY_KINDS.get(policy.kind)
    if compile_kind is None:
        return [Problem("kind", f"{policy.kind} is not evaluated in this version")]
    return compile_kind(policy.config, path)
