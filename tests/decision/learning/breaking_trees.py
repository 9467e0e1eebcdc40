"""`python -m tests.decision.learning.breaking_trees FORMAT COUNT`: loads broken model files, in a process of
its own.

A library that follows a broken file ends this process; the test that started it sees that.
"""

from __future__ import annotations

import base64
import random
import re
import sys
from typing import Literal

from app.decision.learning.trees import Ensemble, TreesConfig, load
from tests.decision.learning.tree_files import lightgbm_file, onnx_file, xgboost_file

FIELDS = ("customer.a", "customer.b", "customer.c")
Format = Literal["lightgbm", "xgboost", "onnx"]


def broken(text: str, seed: int) -> str:
    """The text with a number exchanged, a part cut out or copied, or its end missing."""
    chance = random.Random(seed)
    at = chance.randrange(len(text))
    match chance.randrange(6):
        case 0:
            return text[:at] + text[at + chance.randrange(60) :]
        case 1:
            return text[:at]
        case 2:
            other = chance.randrange(len(text))
            return text[:at] + text[other : other + 20] + text[at:]
        case _:
            found = chance.choice(list(re.finditer(r"-?\d+(\.\d+)?(E-?\d+)?", text)))
            put = chance.choice(["-1", "0", "2", "99999", "-99999", "2147483648", "1e30", "1e400", "x", ""])
            return text[: found.start()] + put + text[found.end() :]


def broken_bytes(content: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    found = bytearray(content)
    for _ in range(chance.randrange(1, 4)):
        found[chance.randrange(len(found))] = chance.choice([0, 1, 2, 3, 5, 0x7F, 0x80, 0xFF])
    return bytes(found)


def main(kind: Format, count: int) -> None:
    accepted = 0
    for seed in range(count):
        if kind == "onnx":
            text = base64.b64encode(broken_bytes(base64.b64decode(onnx_file()), seed)).decode()
        else:
            text = broken(lightgbm_file() if kind == "lightgbm" else xgboost_file(), seed)
        loaded = load(TreesConfig(format=kind, model=text), FIELDS, "")
        if isinstance(loaded, Ensemble):
            accepted += 1
            loaded.score_rows([lambda field: -1.0, lambda field: 1e300, lambda field: None])
    print(f"{accepted} of {count} accepted")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))  # type: ignore[arg-type]
