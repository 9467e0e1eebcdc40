"""Consent: which channels a customer may not be reached on.

Rules of this module:

1.  Consent for a channel holds under its id, key or type, or under `all`; "revoked" under any of them closes
    the channel, whatever is granted under another.
2.  Where nothing is known under any of them, the tenant's `consentDefault` says: with `deny` the channel is
    closed until it is granted.
3.  Any other name is a purpose. No entity carries one, so a purpose closes nothing by itself: rules, filters
    and segments read it as `customer.consent.<purpose>`.
4.  No offer, mandatory or not, and no policy lifts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.decision.entities import Channel

REVOKED = "revoked"
GRANTED = "granted"
EVERY_CHANNEL = "all"


def closed_channels(
    consent: Mapping[str, str], channels: Iterable[Channel], denied: bool
) -> dict[str, dict[str, Any]]:
    """The ids of the channels that are closed, each with what was found.

    Args:
        consent: The customer's, by purpose or channel.
        channels: Those wanted.
        denied: Whether a channel of which nothing is known is closed.
    """
    closed: dict[str, dict[str, Any]] = {}
    if not consent and not denied:
        return closed
    for channel in channels:
        known = {
            name: consent[name]
            for name in (channel.id, channel.key, channel.type, EVERY_CHANNEL)
            if name is not None and name in consent
        }
        revoked = next((name for name, state in known.items() if state == REVOKED), None)
        if revoked is not None:
            closed[channel.id] = {"consent": revoked, "state": REVOKED}
        elif denied and GRANTED not in known.values():
            closed[channel.id] = {"consent": None, "consentDefault": "deny"}
    return closed
