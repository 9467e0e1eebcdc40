"""HTTP as a load balancer's clients see it: any worker, a retry elsewhere, and everything noted.

Rules:

1.  A request goes to a worker picked at random; an answer 503, a broken connection or no answer in time
    sends it to another one, a few times. Every attempt is in the history.
2.  The number of its operation is in each body that goes to a topic, so that a record can be traced to the
    attempt that wrote it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.stress.catalogue import TENANT
from tests.stress.history import History, Op

#: A client waits so long for an answer, in seconds. Some wait until a frozen worker has thawed.
PATIENCE_S = 4.0
GREAT_PATIENCE_S = 25.0
_PATIENT = 0.25

#: Attempts for each request, and the pause between two, in seconds, at most.
TRIES = 6
_PAUSE_S = 0.25

#: Makes the body of an attempt from its operation's number.
Body = Callable[[int], dict[str, Any] | None]


class Caller:
    """Clients of all workers, sharing connections.

    Args:
        urls: of the workers, by number.
        dice: chance of this run.
    """

    def __init__(self, urls: list[str], history: History, dice: random.Random) -> None:
        self._urls = urls
        self._history = history
        self._dice = dice
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Caller:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
            connector=aiohttp.TCPConnector(limit=400),
            headers={"X-Tenant-Id": TENANT},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, kind: str, customer: str, method: str, path: str, body: Body, tries: int = TRIES
    ) -> Op:
        """The last attempt: the one with an answer that is no 503, when there was one."""
        order = list(range(len(self._urls)))
        self._dice.shuffle(order)
        for attempt in range(tries):
            op = await self.once(kind, customer, order[attempt % len(order)], method, path, body)
            if op.status not in (0, 503):
                return op
            if attempt % len(order) == len(order) - 1:
                await asyncio.sleep(self._dice.uniform(0.02, _PAUSE_S))
        return op

    async def once(self, kind: str, customer: str, worker: int, method: str, path: str, body: Body) -> Op:
        """One attempt at one worker."""
        assert self._session is not None
        patient = self._dice.random() < _PATIENT
        timeout = aiohttp.ClientTimeout(total=GREAT_PATIENCE_S if patient else PATIENCE_S)
        number = len(self._history.ops)
        sent = body(number)
        op = self._history.begin(kind, customer, worker, sent or {})
        assert op.number == number
        try:
            url = self._urls[worker] + path
            async with self._session.request(method, url, json=sent, timeout=timeout) as response:
                text = await response.text()
                answer = json.loads(text) if response.content_type == "application/json" else text
                return self._history.end(op, response.status, answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return self._history.end(op, 0, error=repr(error))

    async def ready(self, worker: int) -> tuple[bool, str]:
        """Whether a worker says that it is ready, and what it said; not in the history."""
        assert self._session is not None
        try:
            async with self._session.get(self._urls[worker] + "/ready") as response:
                return response.status == 200, (await response.text())[:2_000]
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return False, repr(error)
