"""Lets a task of a Kafka client end as aio-libs/aiokafka's issue 1038 did: of one request that it sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from tests.worker.harness import eventually


class Ending:
    """Armed by `of`: the next request of that kind and client raises what no task of aiokafka expects."""

    def __init__(self) -> None:
        self.kind, self.client = "", ""

    def of(self, kind: str, client: str = "") -> None:
        self.kind, self.client = kind, client

    async def done(self) -> None:
        """Return once it has happened."""

        async def happened() -> bool:
            return not self.kind

        await eventually(happened, 20, f"a {self.kind} of {self.client}")

    def around(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(connection: Any, request: Any, *arguments: Any, **named: Any) -> Any:
            name, client = type(request).__name__, str(connection._client_id)
            if self.kind and name.startswith(self.kind) and client.startswith(self.client):
                self.kind = ""
                raise ValueError("no task of aiokafka expects this")
            return send(connection, request, *arguments, **named)

        return sending


def ending_clients(monkeypatch: pytest.MonkeyPatch) -> Ending:
    """Every client of this process, until the test is over."""
    ending = Ending()
    monkeypatch.setattr(AIOKafkaConnection, "send", ending.around(AIOKafkaConnection.send))
    return ending
