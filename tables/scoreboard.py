"""The scoreboard: every key's totals over all partitions, as this worker has read them.

Rules:

1.  A key has the score of the highest version read. A lower one, of an owner that was cut off, is ignored.
2.  It is ready once it holds what the topic held when this worker began to read it.
3.  There are as many entries as keys that were ever counted: those of deleted entities stay.
    A tenant's are about as many as its offers, categories, variants and models ever were.
4.  Anybody may write to the topic: what cannot be read as its key says is refused when it is read, so that
    no request meets it.
"""

from __future__ import annotations

import asyncio

from app.decision.evidence import DECISIONS, MODEL, are_totals, monthly_of, tally_of
from app.decision.learning.evidence import NOTHING, Tally
from app.decision.months import Monthly
from app.decision.notices import Score, decode_score
from app.decision.shared import Evidence


class TenantScores:
    """One tenant's part: see `app.decision.shared.Evidence`."""

    __slots__ = ("_models", "_tallies", "decided")

    def __init__(self) -> None:
        #: The decisions of the newest months.
        self.decided = Monthly()
        self._tallies: dict[str, Tally] = {}
        self._models: dict[str, bytes] = {}

    def tally(self, key: str, /) -> Tally:
        return self._tallies.get(key, NOTHING)

    def weights(self, model_id: str, /) -> bytes | None:
        """The merged state as the model's `Learner` wrote it; the same object until a newer one came."""
        return self._models.get(model_id)

    def put(self, key: str, totals: bytes) -> bool:
        """Take totals in; False for what is none, which changes nothing."""
        if not are_totals(key, totals):
            return False
        if key.startswith(MODEL):
            self._models[key.removeprefix(MODEL)] = totals
        elif key == DECISIONS:
            self.decided = monthly_of(totals)
        else:
            self._tallies[key] = tally_of(totals)
        return True


class Scoreboard:
    """All tenants' scores in memory."""

    def __init__(self) -> None:
        self._versions: dict[bytes, int] = {}
        self._tenants: dict[str, TenantScores] = {}
        self._read = asyncio.Event()

    @property
    def ready(self) -> bool:
        return self._read.is_set()

    def read(self) -> None:
        """It holds what the topic held when this worker began to read it."""
        self._read.set()

    async def wait_ready(self) -> None:
        """Return once `ready`."""
        await self._read.wait()

    def __len__(self) -> int:
        return len(self._versions)

    def tenant(self, tenant_id: str) -> Evidence:
        """The evidence of one tenant; it changes as scores are read."""
        return self._tenants.get(tenant_id, _EMPTY)

    def decided(self, tenant_id: str, month: int) -> int:
        """Decisions of a tenant in a month (see `app.decision.months`), as far as they were told."""
        return self._tenants.get(tenant_id, _EMPTY).decided.of(month)

    def apply(self, key: bytes | None, value: bytes | None) -> bool:
        """Take a record of the topic in; whether it is a score, newer or not."""
        tenant_id, colon, name = (key or b"").decode("utf-8", "replace").partition(":")
        score = decode_score(value or b"")
        if key is None or not colon or score is None:
            return False
        if score.version < self._versions.get(key, -1):
            return True
        return self._put(key, tenant_id, name, score)

    def _put(self, key: bytes, tenant_id: str, name: str, score: Score) -> bool:
        scores = self._tenants.get(tenant_id) or TenantScores()
        if not scores.put(name, score.totals):
            return False
        self._tenants[tenant_id] = scores
        self._versions[key] = score.version
        return True


_EMPTY = TenantScores()
