"""When each API key was used last, here and, told by way of the catalogue's topic, on other workers.

Rules:

1.  What is told is at most `TELL_EVERY_MS` old: a use is no reason to write a record for each request.
2.  Nothing depends on it: a record that is lost or refused is told again with a later use.
3.  A key that the catalogue has no more is forgotten here; the topic keeps its last record of some 30 bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

#: A key's record on the topic begins with this: no tenant's id does.
USED = b"!used:"

#: The same key is told of again only after this long, ms.
TELL_EVERY_MS = 60_000

_Name = tuple[str, str]


class _Use(msgspec.Struct, rename="camel"):
    at_ms: int
    v: int = 1


class KeyUses:
    """The last use of each key, epoch ms; bounded by the keys that there are."""

    __slots__ = ("_told", "_used")

    def __init__(self) -> None:
        self._used: dict[_Name, int] = {}
        self._told: dict[_Name, int] = {}

    def note(self, tenant_id: str, key_id: str, at_ms: int) -> None:
        """A key was used."""
        self._used[tenant_id, key_id] = at_ms

    def last_ms(self, tenant_id: str, key_id: str) -> int | None:
        """When a key was used last, epoch ms, as far as is known here; None when it never was."""
        return self._used.get((tenant_id, key_id))

    def forget(self, is_key: Callable[[str, str], bool]) -> None:
        """Forget all that are no keys any more, by tenant and key id."""
        for name in [one for one in self._used if not is_key(*one)]:
            del self._used[name]
            self._told.pop(name, None)

    def due(self) -> list[tuple[bytes, bytes]]:
        """The records to write now: keys that were used well after what was told of them."""
        return [
            (_key(name), msgspec.json.encode(_Use(at_ms)))
            for name, at_ms in self._used.items()
            if at_ms - self._told.get(name, -TELL_EVERY_MS) >= TELL_EVERY_MS
        ]

    def heard(self, key: bytes, value: bytes | None) -> None:
        """Take in a record of the topic, this worker's own ones too; what cannot be read is passed over."""
        try:
            tenant_id, _, key_id = key.removeprefix(USED).decode().partition(":")
            at_ms = msgspec.json.decode(value or b"", type=_Use).at_ms
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        name = (tenant_id, key_id)
        self._told[name] = max(at_ms, self._told.get(name, 0))
        self._used[name] = max(at_ms, self._used.get(name, 0))


def _key(name: _Name) -> bytes:
    return USED + f"{name[0]}:{name[1]}".encode()
