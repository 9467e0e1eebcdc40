"""A clock that runs on while the machine sleeps or the process is stopped, and is never set."""

from __future__ import annotations

import time

#: Linux's monotonic clock stands still while the machine is suspended; this one does not.
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


def boot_s() -> float:
    """Seconds since some moment of the past, the same for all processes of a machine."""
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)
