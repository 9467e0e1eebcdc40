"""What a profile may hold at most."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from app.decision.refusals import Problem
from app.decision.state import AttributeValue

#: A profile's attributes, encoded, at most.
ATTRIBUTES_MAX_BYTES = 64 * 1024

#: Consents in one write, and in one profile.
CONSENTS_MAX = 200


def profile_bounds(
    attributes: Mapping[str, AttributeValue], consent: Mapping[str, str], consents_before: int = 0
) -> list[Problem]:
    """What a whole profile, writes merged, may not exceed: 64 KiB of attributes, 200 consents.

    Outcomes may have made more consents than that: a write that makes no more of them is not refused for it.
    """
    problems: list[Problem] = []
    size = len(msgspec.json.encode(attributes))
    if size > ATTRIBUTES_MAX_BYTES:
        problems.append(Problem("attributes", f"{size} bytes encoded, at most {ATTRIBUTES_MAX_BYTES}"))
    if len(consent) > max(CONSENTS_MAX, consents_before):
        problems.append(Problem("consent", f"{len(consent)} consents, at most {CONSENTS_MAX}"))
    return problems
