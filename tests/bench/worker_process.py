"""This project's worker as a process of its own, with a catalogue, and what its metrics page says."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.child import Child
from config.settings import Settings
from tests.bench.fold_run import ContenderError, started
from tests.bench.process_cpu import resident_mib

_READY_TIMEOUT_S = 120.0
#: What the command `offertide` runs, wherever it is installed.
_WORKER = ["-c", "from app.cli import main; main()", "worker"]


class Worker:
    """A running worker."""

    def __init__(self, settings: Settings, child: Child) -> None:
        self.settings = settings
        self.child = child
        self._connection = http.client.HTTPConnection("127.0.0.1", settings.web_port, timeout=20)

    def get(self, path: str, tenant_id: str | None = None) -> tuple[int, str]:
        """Status and body; 0 while nobody listens."""
        headers = {} if tenant_id is None else {"X-Tenant-Id": tenant_id}
        try:
            self._connection.request("GET", path, headers=headers)
            response = self._connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, ""

    def total(self, name: str, label: str = "") -> int:
        """The sum of a counter over its labels, those whose text contains `label`; 0 before it is up."""
        _, page = self.get("/metrics")
        lines = (line for line in page.splitlines() if line.startswith(f"offertide_{name}") and label in line)
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))

    def folded(self) -> int:
        """Events folded by this process."""
        return self.total("records_folded_total", 'topic="events"')

    def wait_ready(self) -> float:
        """Seconds until all partitions were ready, from the call.

        Raises:
            ContenderError: it ended, or they were not in time.
        """
        begun = time.monotonic()
        while self.get("/ready")[0] != 200:
            if self.child.returncode is not None:
                raise ContenderError(f"the worker ended with {self.child.returncode}:\n{self.child.tail()}")
            if time.monotonic() - begun > _READY_TIMEOUT_S:
                raise ContenderError(f"not ready in {_READY_TIMEOUT_S:g} s:\n{self.child.tail()}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def resident_mib(self) -> float:
        return resident_mib(self.child.pid)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[Worker]:
    """A worker, stopped in order at the end. Its log is `folder`/log."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with started(_WORKER, folder, settings.environment(os.environ)) as child:
        running = Worker(settings, child)
        try:
            yield running
        finally:
            running.close()
