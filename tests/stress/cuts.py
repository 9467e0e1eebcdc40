"""The network between a worker and one Kafka node: a TCP proxy that can be cut in four ways.

Rules:

1.  `refuse`: connections are reset and new ones refused, as when a host is gone.
2.  `swallow`: connections stay open, what is sent is lost. They are reset at healing, since what follows a
    lost byte makes no sense to either side.
3.  `stall`: connections stay open and nothing moves; at healing all that waited arrives, late and in order,
    as TCP does after a partition of the network.
4.  `mute`: the node hears everything and its answers are lost; reset at healing. What was sent meanwhile
    happened, and the sender does not know.
5.  The worker's HTTP is not concerned: it stays reachable.
"""

from __future__ import annotations

import asyncio
from typing import Literal, cast

Cut = Literal["refuse", "swallow", "stall", "mute"]
CUTS: tuple[Cut, ...] = ("refuse", "swallow", "stall", "mute")


class _Side(asyncio.Protocol):
    """One of a connection's two ends; what it receives goes to the other."""

    def __init__(self, gate: Gate, answers: bool = False) -> None:
        self._gate = gate
        self._answers = answers
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._gate.sides.add(self)
        if self._gate.cut == "stall":
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._gate.cut == "swallow" or (self._answers and self._gate.cut == "mute"):
            return
        if self.other is None or self.other.transport is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def join(self, other: _Side) -> None:
        """The other end is there: hand over what came before."""
        self.other, other.other = other, self
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.sides.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def abort(self) -> None:
        """Reset the connection."""
        if self.transport is not None:
            self.transport.abort()


class Gate:
    """Listens on one loopback port and connects through to another, unless it is cut."""

    def __init__(self, port: int, target_port: int) -> None:
        self._port = port
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self.cut: Cut | None = None
        self.sides: set[_Side] = set()

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", self._port)

    async def close(self) -> None:
        """Listen no more, and reset what is connected."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in tuple(self._connecting):
            task.cancel()
        for side in tuple(self.sides):
            side.abort()
        await asyncio.sleep(0)

    async def sever(self, cut: Cut) -> None:
        """Cut the network here."""
        self.cut = cut
        if cut == "refuse":
            await self.close()
        elif cut == "stall":
            for side in tuple(self.sides):
                if side.transport is not None:
                    side.transport.pause_reading()

    async def heal(self) -> None:
        """All is well again."""
        cut, self.cut = self.cut, None
        if cut == "refuse":
            await self.open()
        elif cut in ("swallow", "mute"):
            for side in tuple(self.sides):
                side.abort()
        elif cut == "stall":
            for side in tuple(self.sides):
                if side.transport is not None and not side.transport.is_closing():
                    side.transport.resume_reading()

    def _accept(self) -> _Side:
        side = _Side(self)
        task = asyncio.get_running_loop().create_task(self._connect(side))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return side

    async def _connect(self, near: _Side) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: _Side(self, True), "127.0.0.1", self._target_port)
        except OSError:
            near.abort()
            return
        near.join(far)
