"""Consent: which channels a customer may not be reached on.

Rules of this module:

1.  Consent holds under a channel's id, key or type, or under `all`; "revoked" under any of them closes the
    channel, whatever is granted under another. Nothing known means allowed.
2.  No offer, mandatory or not, and no policy lifts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.decision.entities import Channel

REVOKED = "revoked"
EVERY_CHANNEL = "all"


def revoked_channels(consent: Mapping[str, str], channels: Iterable[Channel]) -> dict[str, str]:
    """The ids of the channels that are closed, each with the name under which consent was revoked."""
    revoked = {name for name, state in consent.items() if state == REVOKED}
    if not revoked:
        return {}
    closed: dict[str, str] = {}
    for channel in channels:
        for name in (channel.id, channel.key, channel.type, EVERY_CHANNEL):
            if name in revoked and name is not None:
                closed[channel.id] = name
                break
    return closed
