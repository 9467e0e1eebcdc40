"""What a figure was measured on, and how busy that was: a figure without it says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("faust-streaming", "aiokafka", "rocksdict", "msgspec", "uvloop", "aiohttp", "quixstreams")
_ROOT = Path(__file__).parents[2]


def load_average() -> float:
    """Runnable processes over the last minute."""
    return os.getloadavg()[0]


def description() -> list[str]:
    """Lines that head a report: time, commit, machine, versions, load before it began."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"{os.cpu_count()} cores of {_processor()}, {_memory_gib():.0f} GiB, {platform.system()}"
        f" {platform.release()}",
        f"Python {platform.python_version()}, {versions}",
        f"load average before: {load_average():.2f}",
        "Broker, load and measured process share these cores.",
    ]


def _commit() -> str:
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "app", "agents", "tables", "web", "config")
    return commit + (" with changes" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
