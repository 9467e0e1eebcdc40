"""Lets a task of a Kafka client end as aio-libs/aiokafka's issue 1038 did: of one request that it sends.

In this process with `ending_clients`; in a worker's with the environment of `ending_environment`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection

_PROGRAM = """
from pathlib import Path
from aiokafka.conn import AIOKafkaConnection
from tests.kafka.ending import Ending
AIOKafkaConnection.send = Ending(Path({path!r})).around(AIOKafkaConnection.send)
"""
_WAIT_S = 20


class Ending:
    """Armed by `of`: the next request of that kind and client raises what no task of aiokafka expects.

    Args:
        file: what is armed; a file, since the clients may be another process's.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, kind: str, client: str) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(f"{kind} {client}")
        written.rename(self._file)

    @property
    def happened(self) -> bool:
        return not self._file.exists()

    async def done(self) -> None:
        """Return once it has happened."""
        async with asyncio.timeout(_WAIT_S):
            while not self.happened:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.05)

    def around(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(connection: Any, request: Any, *arguments: Any, **named: Any) -> Any:
            if not self.happened:
                kind, client = self._file.read_text().split()
                wanted = type(request).__name__.startswith(kind)
                if wanted and str(connection._client_id).startswith(client):
                    self._file.unlink()
                    raise ValueError("no task of aiokafka expects this")
            return send(connection, request, *arguments, **named)

        return sending


def ending_environment(folder: Path) -> tuple[dict[str, str], Ending]:
    """What a worker process is started with, so that its clients can be ended."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_PROGRAM.format(path=str(folder / "ending")))
    return {"PYTHONPATH": os.pathsep.join([str(site), str(Path.cwd())])}, Ending(folder / "ending")


def ending_clients(monkeypatch: Any, folder: Path) -> Ending:
    """The same for every client of this process, until the test is over."""
    ending = Ending(folder / "ending")
    monkeypatch.setattr(AIOKafkaConnection, "send", ending.around(AIOKafkaConnection.send))
    return ending
