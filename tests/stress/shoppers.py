"""What customers' channels do over HTTP, seeded: recommend, respond, ingest, profiles, reads.

Rules:

1.  Few customers, many clients: the same customer is decided, answered and written at the same time.
2.  What is written can be told apart: every profile attribute's value, every key and event id is one
    operation's own, except where the same is sent again on purpose.
3.  A response names a recommendation that a client received, never one long forgotten.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from tests.stress.callers import Caller
from tests.stress.history import Op

#: Recommendations of a customer that a response may still name.
_REMEMBERED = 8

#: Requests under way at most.
_UNDER_WAY = 150

#: What is done, and how often.
_MENU = {"push": 22, "web": 22, "respond": 22, "ingest": 12, "profile": 8, "read": 14}


@dataclass(frozen=True)
class Received:
    """A decision that a client received."""

    recommendation: str
    rank: int
    channel: str


class Shoppers:
    """All HTTP clients of one run.

    Args:
        customers: their ids.
        rate: requests a second, retries not counted, of all clients together.
    """

    def __init__(self, caller: Caller, customers: list[str], rate: float, dice: random.Random) -> None:
        self._caller = caller
        self._customers = customers
        self._rate = rate
        self._dice = dice
        self._received: dict[str, deque[Received]] = {one: deque(maxlen=_REMEMBERED) for one in customers}
        #: Responses that were acknowledged lately: (customer, body), to be sent again.
        self._sent: deque[tuple[str, dict[str, Any]]] = deque(maxlen=200)
        self._ingested: deque[tuple[str, dict[str, Any]]] = deque(maxlen=100)

    async def introduce(self) -> None:
        """Make all customers known, so that nobody is answered 404. Raises AssertionError if that fails."""
        for customer in self._customers:
            op = await self._profile(customer, "put", tries=60)
            assert op.acknowledged, f"{customer} could not be introduced: {op.status} {op.body} {op.error}"

    async def run(self, until_s: float) -> None:
        """Send requests until a moment of the monotonic clock, and wait for the answers.

        The rate does not depend on the answers: a frozen worker's clients wait, others come.
        """
        due_s = time.monotonic()
        under_way = 0

        async def one() -> None:
            nonlocal under_way
            under_way += 1
            try:
                await self._anything()
            finally:
                under_way -= 1

        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until_s:
                if under_way < _UNDER_WAY:
                    group.create_task(one())
                due_s = max(due_s + self._dice.expovariate(self._rate), time.monotonic() - 1.0)
                await asyncio.sleep(max(due_s - time.monotonic(), 0))

    async def _anything(self) -> None:
        customer = self._dice.choice(self._customers)
        what = self._dice.choices(list(_MENU), list(_MENU.values()))[0]
        if what in ("push", "web"):
            await self._recommend(customer, what)
        elif what == "respond":
            await self._respond(customer)
        elif what == "ingest":
            await self._ingest(customer)
        elif what == "profile":
            await self._profile(customer, self._dice.choice(("put", "patch")))
        else:
            await self._caller.ask("get", customer, "GET", f"/api/v1/customers/{customer}", lambda _: None)

    async def _recommend(self, customer: str, channel: str) -> None:
        request = {"customerId": customer, "channelId": channel, "limit": self._dice.randint(1, 2)}
        op = await self._caller.ask(
            "recommend", customer, "POST", "/api/v1/recommend", lambda _: dict(request)
        )
        if op.status == 200 and "degraded" not in op.body["meta"]:
            for decision in op.body["decisions"]:
                self._received[customer].append(
                    Received(op.body["recommendationId"], decision["rank"], channel)
                )

    async def _respond(self, customer: str) -> None:
        again = self._dice.random()
        if again < 0.25 and self._sent:
            customer, body = self._dice.choice(self._sent)
            if again < 0.08:
                body = {**body, "conversionValue": 1_000.0}
        elif not self._received[customer]:
            return
        else:
            seen = self._dice.choice(self._received[customer])
            outcome = "impression" if seen.channel == "web" and self._dice.random() < 0.6 else "click"
            body = {
                "customerId": customer,
                "recommendationId": seen.recommendation,
                "rank": seen.rank,
                "outcome": outcome,
                "idempotencyKey": f"k{self._dice.getrandbits(48):x}",
            }
        op = await self._caller.ask(
            "respond", customer, "POST", "/api/v1/respond", lambda n: {**body, "metadata": {"op": n}}
        )
        if op.status == 201:
            self._sent.append((customer, body))

    async def _ingest(self, customer: str) -> None:
        if self._ingested and self._dice.random() < 0.15:
            customer, body = self._dice.choice(self._ingested)
        else:
            body = {
                "customerId": customer,
                "type": self._dice.choice(("purchase", "purchase", "page_view")),
                "eventId": f"h{self._dice.getrandbits(48):x}",
                "amount": self._dice.randint(1, 40) / 4,
            }
        op = await self._caller.ask(
            "ingest",
            customer,
            "POST",
            "/api/v1/events/ingest",
            lambda n: {
                **{name: value for name, value in body.items() if name != "amount"},
                "data": {"amount": body["amount"], "op": n},
            },
        )
        if op.acknowledged:
            self._ingested.append((customer, body))

    async def _profile(self, customer: str, kind: str, tries: int = 4) -> Op:
        names = ["a", "b"] if kind == "put" else [self._dice.choice(("a", "b"))]
        return await self._caller.ask(
            kind,
            customer,
            kind.upper(),
            f"/api/v1/customers/{customer}",
            lambda n: {"attributes": dict.fromkeys(names, n)},
            tries,
        )
