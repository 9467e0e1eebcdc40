"""The broker that a test runs on, and what happens to tests whose broker cannot run here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Broker:
    """A running broker. ``bootstrap`` is ``host:port``, several with commas."""

    bootstrap: str
    kind: Literal["embedded", "kafka"]


def in_ci() -> bool:
    """Whether this run must not leave anything out: ``CI=true``."""
    return os.environ.get("CI", "").lower() in {"true", "1"}


def left_out_line(count: int, reason: str) -> str:
    """The line that tells a developer what did not run, and how to get it."""
    tests = "1 test" if count == 1 else f"{count} tests"
    return f"left out: {tests} on real Apache Kafka. {reason}"
