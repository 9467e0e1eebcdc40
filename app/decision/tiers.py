"""How often a tenant may call, by its tier.

Rules of this module:

1.  A rate is a window's name and the calls in any minute that it admits. All keys of a tenant share a window.
2.  Where the tier sets the rate, responses have a window of their own; an enterprise tenant's own rate counts
    all its calls in one window, responses too.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from app.decision.entities.settings import TenantSettings

#: `responses` are respond and capture, `calls` all others.
WindowName = Literal["calls", "responses"]

_RESPONSES_PER_MIN = 500


class Rate(msgspec.Struct, frozen=True):
    """A window and how many calls it admits in any minute."""

    window: WindowName
    per_min: int


_CALLS = {"community": Rate("calls", 100), "professional": Rate("calls", 1_000)}
_RESPONSES = Rate("responses", _RESPONSES_PER_MIN)


def rate_of(settings: TenantSettings, window: WindowName) -> Rate | None:
    """The rate under which a call for this window is; None when it may be made at any rate."""
    if settings.tier == "enterprise":
        per_min = settings.rate_limit_per_min
        return None if per_min is None else Rate("calls", per_min)
    return _RESPONSES if window == "responses" else _CALLS[settings.tier]
