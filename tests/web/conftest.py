"""A worker's web server and its client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.web.harness import Client, Worker, running


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker that owns every partition, all ready, and cannot reach Kafka."""
    with running(tmp_path) as made:
        yield made


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    """A client of it."""
    async with worker.client() as made:
        yield made
