"""Totals: contacts that the log no longer holds one by one.

Rules:

1.  A total stands for contacts alike in offer, creative, channel, category and placement within one quarter
    of a UTC hour. Quarters, since every time zone's offset is a multiple of 15 minutes: no calendar day, in
    any zone, begins inside a total.
2.  A reader counts a total whole when its last contact is inside the window. So a window is exact unless it
    begins inside a total; then it counts too many, never too few.
3.  A contact joins a total among the last 64 only, so that it never rewrites a long list; two totals of one
    quarter may stand side by side, which changes no count.
4.  Past 2,000 totals the list is made 1,500 or less, once: those older than 400 days lose their time (no
    window reaches them), then `_STEPS` are taken as far as needed: hours, days, 30 days of the older half,
    then of all, then no time. All-time counts by offer, creative, channel, category and placement stay exact.
5.  A customer may have had more different things than that. Then ids become `ANY`, creatives and placements
    first, categories last. A reader counts such a total for every id: too many, never too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from app.decision.log import Log
from app.decision.state import CONTACT_WINDOW_MS, TOTALS_MAX, Contact, ContactTotal, Customer

QUARTER_MS = 15 * 60_000
HOUR_MS = 4 * QUARTER_MS
DAY_MS = 24 * HOUR_MS
MONTH_MS = 30 * DAY_MS

#: In the place of an id: whatever it was. No entity has this id.
ANY = "*"

#: So many totals are left by making them coarser, so that it happens seldom.
TOTALS_KEPT = TOTALS_MAX * 3 // 4

#: The last totals that a contact may join: two segments.
_TAIL = 64


class _Step(NamedTuple):
    """One way to have fewer totals. `bucket_ms` 0: whatever the time; `merged` ids become `ANY`."""

    bucket_ms: int
    older_half: bool
    merged: tuple[str, ...] = ()


_FINE = ("creative_id", "placement_id")
_EVER = _Step(0, older_half=False)
_STEPS = (
    _Step(HOUR_MS, older_half=True),
    _Step(DAY_MS, older_half=True),
    _Step(MONTH_MS, older_half=True),
    _Step(HOUR_MS, older_half=False),
    _Step(DAY_MS, older_half=False),
    _Step(MONTH_MS, older_half=False),
    _EVER,
    _Step(0, True, _FINE),
    _Step(0, True, (*_FINE, "offer_id")),
    _Step(0, False, _FINE),
    _Step(0, False, (*_FINE, "offer_id")),
    _Step(0, False, (*_FINE, "offer_id", "channel_id")),
    _Step(0, False, (*_FINE, "offer_id", "channel_id", "category_id")),
)

_What = tuple[str, str, str, str, str | None]


def add_to_totals(customer: Customer, contacts: Iterable[Contact], now_ms: int) -> None:
    """Count contacts that the log does not hold. At most `TOTALS_MAX` totals are left.

    Args:
        customer: owned by this fold.
        contacts: in any order.
        now_ms: the fold's time, epoch ms.
    """
    totals = customer.totals
    places = _tail_places(totals)
    for contact in contacts:
        key = (contact.at_ms // QUARTER_MS, _what(contact))
        index = places.get(key)
        if index is None:
            places[key] = len(totals)
            totals.append(_total_of(contact))
        else:
            totals.replace(index, _joined(totals.entries[index], _total_of(contact)))
    if len(totals) > TOTALS_MAX:
        totals.rewrite(coarser(totals.entries, now_ms))


def coarser(totals: Sequence[ContactTotal], now_ms: int) -> list[ContactTotal]:
    """The same contacts in at most `TOTALS_KEPT` totals, oldest first."""
    horizon_ms = now_ms - CONTACT_WINDOW_MS
    old = [total for total in totals if total.last_ms <= horizon_ms]
    kept = _merged(old, _EVER) + [total for total in totals if total.last_ms > horizon_ms]
    kept.sort(key=_age)
    for step in _STEPS:
        if len(kept) <= TOTALS_KEPT:
            break
        end = len(kept) // 2 if step.older_half else len(kept)
        kept = _merged(kept[:end], step) + kept[end:]
        kept.sort(key=_age)
    return kept


def _merged(totals: Sequence[ContactTotal], step: _Step) -> list[ContactTotal]:
    """The totals with those made one that the step does not tell apart."""
    found: dict[tuple[int, _What], ContactTotal] = {}
    anything = dict.fromkeys(step.merged, ANY)
    for total in totals:
        plain = msgspec.structs.replace(total, **anything) if anything else total
        key = (plain.last_ms // step.bucket_ms if step.bucket_ms else 0, _what(plain))
        other = found.get(key)
        found[key] = plain if other is None else _joined(other, plain)
    return list(found.values())


def _tail_places(totals: Log[ContactTotal]) -> dict[tuple[int, _What], int]:
    """Where each quarter and thing among the last totals stands."""
    start = max(len(totals) - _TAIL, 0)
    return {
        (total.last_ms // QUARTER_MS, _what(total)): start + offset
        for offset, total in enumerate(totals.entries[start:])
    }


def _what(one: Contact | ContactTotal) -> _What:
    return one.offer_id, one.creative_id, one.channel_id, one.category_id, one.placement_id


def _age(total: ContactTotal) -> tuple[int, int]:
    return total.last_ms, total.first_ms


def _total_of(contact: Contact) -> ContactTotal:
    at_ms = contact.at_ms
    return ContactTotal(at_ms, at_ms, 1, *_what(contact))


def _joined(one: ContactTotal, other: ContactTotal) -> ContactTotal:
    return msgspec.structs.replace(
        one,
        first_ms=min(one.first_ms, other.first_ms),
        last_ms=max(one.last_ms, other.last_ms),
        count=one.count + other.count,
    )
