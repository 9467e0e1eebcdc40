"""What becomes of an API key's entity: made, rotated, revoked. Pure, for the command line and HTTP alike.

Rules:

1.  A key is shown once, when it is issued; afterwards only what recognises it is there.
2.  Rotating issues a new key under the same id. The one before holds for the overlap, at most
    `OVERLAP_MAX_MS`; one that was still in its overlap ends at once: there are never more than two.
3.  A revoked key is archived: who it was stays known to the audit trail and in lists.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from app.decision.entities import ApiKey, Credential

#: How long a rotated key may go on, ms: 30 days.
OVERLAP_MAX_MS = 30 * 86_400_000
#: And does unless told otherwise: a day.
OVERLAP_MS = 86_400_000


def rotated(key: ApiKey, issued: Credential, now: datetime, overlap_ms: int) -> ApiKey:
    """The key with a new credential beside its newest, which ends after the overlap (0 to 30 days, ms)."""
    before = [one for one in key.credentials if one.until is None]
    until = now + timedelta(milliseconds=overlap_ms)
    kept = [msgspec.structs.replace(one, until=until) for one in before[-1:] if overlap_ms > 0]
    return msgspec.structs.replace(key, credentials=(*kept, issued))


def revoked(key: ApiKey) -> ApiKey:
    """The key, which opens nothing any more."""
    return msgspec.structs.replace(key, status="archived", credentials=())
