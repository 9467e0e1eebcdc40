"""When each API key was used last, as far as this worker knows."""

from __future__ import annotations


class KeyUses:
    """The last use of each key here, epoch ms; bounded by the keys that there are."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], int] = {}

    def note(self, tenant_id: str, key_id: str, at_ms: int) -> None:
        """A key was used."""
        self._used[tenant_id, key_id] = at_ms

    def last_ms(self, tenant_id: str, key_id: str) -> int | None:
        """When a key was used last, epoch ms; None when nobody used it here."""
        return self._used.get((tenant_id, key_id))
