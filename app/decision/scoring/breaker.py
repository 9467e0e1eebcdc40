"""Circuit breakers of models: one that keeps failing is left alone for a while.

Rules of this module:

1.  Five failures in a row (raised, or overran its time) open a model's breaker for 60 s; a success in between
    starts the count anew. While it is open the flow scores without the model.
2.  After 60 s the model is tried again; one more failure opens the breaker again.

The pattern is Nygard's, "Release It!", 2007. Time is an argument; one instance serves one worker.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

FAILURES_MAX = 5
OPEN_MS = 60_000


class _Record(msgspec.Struct):
    failures: int = 0
    open_until_ms: int = 0


class Breakers:
    """The breakers of a worker's models, by tenant and model."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], _Record] = {}

    def bypassed(self, tenant_id: str, now_ms: int) -> frozenset[str]:
        """The ids of the tenant's models that are to be left alone now."""
        if not self._records:
            return frozenset()
        return frozenset(
            model_id
            for (tenant, model_id), record in self._records.items()
            if tenant == tenant_id and now_ms < record.open_until_ms
        )

    def note(self, tenant_id: str, asked: Mapping[str, bool], now_ms: int) -> list[str]:
        """Count what models did in one decision; returns those whose breaker opened just now.

        Args:
            tenant_id: Whose models they are.
            asked: The models that were asked, each with whether it failed or overran.
            now_ms: The instant, of the same clock as `bypassed` is asked by, ms.
        """
        opened = []
        for model_id, failed in asked.items():
            key = tenant_id, model_id
            if not failed:
                self._records.pop(key, None)
                continue
            record = self._records.setdefault(key, _Record())
            record.failures += 1
            if record.failures >= FAILURES_MAX:
                record.open_until_ms = now_ms + OPEN_MS
                # One more failure after that opens it again.
                record.failures = FAILURES_MAX - 1
                opened.append(model_id)
        return opened
