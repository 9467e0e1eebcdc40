"""An oracle of contact policies that looks at every contact one by one.

It knows no windows' beginnings: by calendar a contact counts when the customer's clock showed the same hour,
date, week or month as now. Totals are made from contacts that the oracle still has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.decision.state import Contact
from tests.decision.policies.worlds import CHANNELS, OFFERS, UNITS, WINDOWS, World


def label(at_ms: int, zone: str, unit: str) -> tuple[int, ...]:
    """What a clock shows of an instant, as far as a period goes."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))
    if unit == "week":
        return at.isocalendar()[:2]
    return {
        "hour": (at.year, at.month, at.day, at.hour), "day": (at.year, at.month, at.day),
        "month": (at.year, at.month),
    }[unit]  # fmt: skip


class Oracle:
    """Says what the policies do to a candidate after some others were taken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.order = sorted(world.policies, key=lambda one: (-one["priority"], one["id"]))
        self.taken: list[Contact] = []

    def counts(self, window_ms: int | None, calendar: bool) -> Callable[[Contact], bool]:
        """Whether a contact is in a window."""
        now_ms, zone = self.world.now_ms, self.world.zone
        if window_ms is None:
            return lambda one: True
        if not calendar:
            return lambda one: now_ms - one.at_ms < window_ms
        unit = UNITS[window_ms]
        wanted = label(now_ms, zone, unit)
        return lambda one: one.at_ms > now_ms or label(one.at_ms, zone, unit) == wanted

    def count(self, inside: Callable[[Contact], bool], which: Callable[[Contact], bool]) -> tuple[int, bool]:
        """How many contacts, and whether a total at the edge was counted whole."""
        found, inexact = 0, False
        for one in (*self.world.contacts, *self.taken):
            found += which(one) and inside(one)
        for alike in self.world.totals:
            members = [inside(one) for one in alike]
            if which(alike[0]) and any(members):
                found += len(members)
                inexact = inexact or not all(members)
        return found, inexact

    def stands(self, scope: dict[str, Any], one: Contact) -> bool:
        kind = scope["scope"]
        if kind in ("global", "segment"):
            return True
        if kind in ("category", "subcategory"):
            category, sub = OFFERS[one.offer_id]
            return scope["id"] in (category, sub)
        return bool(scope["id"] == {
            "offer": one.offer_id, "channel": one.channel_id, "creative": one.creative_id,
        }[kind])  # fmt: skip

    def holds(self, policy: dict[str, Any], candidate: Contact) -> list[dict[str, Any]]:
        """The scopes of a policy that cover a candidate."""
        scopes = policy["scopes"] or [{"scope": "global"}]
        return [
            scope
            for scope in scopes
            if self.stands(scope, candidate) and (scope["scope"] != "segment" or self.world.gold)
        ]

    def compared(
        self, policy: dict[str, Any], scope: dict[str, Any], candidate: Contact
    ) -> list[tuple[int, bool, int]]:
        """(count, inexact, maximum) of each window of a policy in a scope; it blocks at the maximum."""
        config, calendar, kind = policy["config"], policy["calendar"], policy["kind"]
        channels = config.get("channels") or CHANNELS
        inside = self.counts(config.get("windowMs", config.get("cooldownMs")), calendar)
        category = OFFERS[candidate.offer_id][0]
        if kind == "frequency_cap":
            if candidate.channel_id not in channels:
                return []

            def counted(one: Contact) -> bool:
                return self.stands(scope, one) and one.channel_id in channels

            return [
                (*self.count(self.counts(window_ms, calendar), counted), config[name])
                for name, window_ms in {**WINDOWS, "total": None}.items()
                if name in config
            ]
        if kind == "mutual_exclusion":
            if candidate.offer_id not in config["offerIds"]:
                return []
            others = set(config["offerIds"]) - {candidate.offer_id}
            if "windowMs" not in config:
                return [(sum(one.offer_id in others for one in self.taken), False, 1)]
            return [(*self.count(inside, lambda one: one.offer_id in others), 1)]
        related: dict[str, Callable[[Contact], bool]] = {
            "cooldown": lambda one: self.stands(scope, one),
            "customer_total_cap": lambda one: True,
            "cross_channel_cap": lambda one: one.offer_id == candidate.offer_id,
            "category_suppression": lambda one: (
                self.stands(scope, one)
                if scope["scope"] in ("category", "subcategory")
                else OFFERS[one.offer_id][0] == category
            ),
        }
        if kind not in related:
            return []
        return [(*self.count(inside, related[kind]), config.get("max", 1))]

    def blocking(self, candidate: Contact) -> list[tuple[dict[str, Any], list[tuple[int, bool, int]]]]:
        """The policies that remove a candidate, the reason first, each with what it compared."""
        mandatory = dict(zip(OFFERS, self.world.mandatory, strict=True))[candidate.offer_id]
        lifted = any(one["kind"] == "allow_override" and self.holds(one, candidate) for one in self.order)
        found = []
        for policy in self.order:
            if policy["bypassable"] and lifted:
                continue
            if (
                policy["bypassable"]
                and mandatory
                and policy["kind"] not in ("frequency_cap", "cross_channel_cap")
            ):
                continue
            for scope in self.holds(policy, candidate):
                compared = self.compared(policy, scope, candidate)
                if any(count >= most for count, _, most in compared):
                    found.append((policy, compared))
        return found
