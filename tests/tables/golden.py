"""Stored bytes as each version wrote them: keys and values in hexadecimal, in files that never change."""

from __future__ import annotations

import json
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden" / "state"

#: Files of keys and values. Others hold parts of values.
STORES = sorted(path.name for path in GOLDEN.glob("*-v[0-9]*.json") if path.name != "metrics-v1.json")


def golden(name: str) -> dict[bytes, bytes]:
    """What a store holds, by key."""
    stored = json.loads((GOLDEN / name).read_text())
    return {bytes.fromhex(key): bytes.fromhex(value) for key, value in stored.items()}
