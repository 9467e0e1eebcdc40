"""When keys were used: what is told, and what is forgotten."""

from __future__ import annotations

from tables.key_uses import TELL_EVERY_MS, KeyUses


def test_a_key_that_is_gone_is_forgotten_and_told_of_no_more() -> None:
    uses = KeyUses()
    for key_id in ("kept", "gone"):
        uses.note("acme", key_id, 1_000)
    for key, value in uses.due():
        uses.heard(key, value)
        uses.heard(key + b"-elsewhere", value)
    uses.forget(lambda tenant, key_id: (tenant, key_id) == ("acme", "kept"))
    assert uses.last_ms("acme", "kept") == 1_000
    assert [uses.last_ms("acme", key_id) for key_id in ("gone", "gone-elsewhere")] == [None, None]
    uses.note("acme", "kept", 1_000 + TELL_EVERY_MS)
    assert [key for key, _ in uses.due()] == [b"!used:acme:kept"]
    # It may come back, and is told of at once: nothing of before is left.
    uses.note("acme", "gone", 1_001)
    assert len(uses.due()) == 2
