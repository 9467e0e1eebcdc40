"""Whether processes are gone, and a parent to kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_GONE_TIMEOUT_S = 10.0


def wait_gone(pid: int) -> bool:
    """Whether the process ends within 10 s; one that only waits to be reaped counts as gone."""
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while time.monotonic() < deadline:
        if not runs(pid):
            return True
        time.sleep(0.02)
    return False


def kill_parent_of(script: str, scratch: Path) -> list[int]:
    """Run a Python script that prints process ids on one line and waits; kill -9 it; return the ids.

    ``scratch`` takes the temporary files that the script has no time to delete.
    """
    command = [sys.executable, "-c", script]
    env = os.environ | {"TMPDIR": str(scratch)}
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=env)
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert pids
        assert all(runs(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    return pids


def runs(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
