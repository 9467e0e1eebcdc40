"""What the demo asks over HTTP: totals read back from every customer, offers, and a cap that closes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from app.demo.server import DemoError

#: Requests under way at once while reading customers back.
READERS = 32
#: How long all purchases may take to be folded, in seconds.
FOLD_S = 120.0
#: Recommends tried until the cap closes, at most.
TRIES = 10


class Totals(msgspec.Struct, frozen=True):
    """Sums over the customers' state. `amount` is US dollars, to the cent."""

    customers: int
    purchases: int
    cds: int
    amount: float


class Shown(msgspec.Struct, frozen=True):
    """A customer, what the state says, and what recommend shows on the website."""

    customer_id: str
    name: str
    purchases: int
    spend_90d: float
    offer: str
    score: float
    headline: str


class Cap(msgspec.Struct, frozen=True):
    """A contact cap, asked until it closed: offers delivered by each call, and why the last gave none."""

    customer_id: str
    delivered: list[int]
    closed: bool
    reason: str


class Loop(msgspec.Struct, frozen=True):
    """Respond, and what the next read sees."""

    customer_id: str
    offer: str
    clicks_before: int
    clicks_after: int


class Shop:
    """The worker's HTTP API, for one tenant."""

    def __init__(self, url: str, tenant_id: str) -> None:
        self._url = url
        self._tenant_id = tenant_id
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"X-Tenant-Id": self._tenant_id}, timeout=aiohttp.ClientTimeout(total=20)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body; None for 404.

        Raises:
            DemoError: any other failure, as the server says it.
        """
        assert self._session is not None
        async with self._session.request(method, f"{self._url}{path}", json=body) as response:
            if response.status == 404:
                return None
            text = await response.text()
            if response.status >= 400:
                raise DemoError(f"{method} {path}: {response.status} {text}")
            return msgspec.json.decode(text) if response.content_type == "application/json" else text

    async def customer(self, customer_id: str) -> Any:
        return await self.call("GET", f"/api/v1/customers/{quote(customer_id, safe='')}")

    async def metric(self, name: str) -> float:
        """The sum of a metric's series, as /metrics has it."""
        page = await self.call("GET", "/metrics")
        lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def read_back(shop: Shop, customer_ids: Sequence[str]) -> tuple[Totals, dict[str, Any]]:
    """The totals and states of all customers, asked for one by one over HTTP."""
    gate = asyncio.Semaphore(READERS)

    async def one(customer_id: str) -> tuple[str, Any]:
        async with gate:
            return customer_id, await shop.customer(customer_id)

    found = {
        name: state for name, state in await asyncio.gather(*map(one, customer_ids)) if state is not None
    }
    metrics = [state["metrics"] for state in found.values()]
    totals = Totals(
        customers=sum(1 for each in metrics if each["purchases_total"] > 0),
        purchases=round(sum(each["purchases_total"] for each in metrics)),
        cds=round(sum(each["cds_total"] for each in metrics)),
        amount=round(math.fsum(each["amount_total"] for each in metrics), 2),
    )
    return totals, found


async def all_folded(
    shop: Shop, customer_ids: Sequence[str], purchases: int, progress: Callable[[int], None]
) -> tuple[Totals, dict[str, Any]]:
    """The totals once every purchase is in the state.

    Args:
        progress: called with the purchases in the state so far.

    Raises:
        DemoError: not all were within two minutes.
    """
    deadline = time.monotonic() + FOLD_S
    while True:
        totals, states = await read_back(shop, customer_ids)
        progress(totals.purchases)
        if totals.purchases >= purchases:
            return totals, states
        if time.monotonic() > deadline:
            raise DemoError(f"only {totals.purchases} of {purchases} purchases were folded in {FOLD_S:.0f} s")
        await asyncio.sleep(0.2)


async def show_offers(shop: Shop, states: dict[str, Any], names: Sequence[str]) -> list[Shown]:
    """Some of those who spent most of late get a first name and an offer on the website."""
    best = sorted(states, key=lambda each: -states[each]["metrics"]["spend_90d"])
    spread = [best[len(best) * place // (4 * len(names))] for place in range(len(names))]
    shown = []
    for customer_id, name in zip(spread, names, strict=True):
        await shop.call("PUT", f"/api/v1/customers/{customer_id}", {"attributes": {"firstName": name}})
        answer = await recommend(shop, customer_id, "web", limit=1)
        state = states[customer_id]["metrics"]
        top = answer["decisions"][0] if answer["decisions"] else None
        shown.append(
            Shown(
                customer_id=customer_id,
                name=name,
                purchases=round(state["purchases_total"]),
                spend_90d=state["spend_90d"],
                offer="–" if top is None else top["offerName"],
                score=0.0 if top is None else top["score"],
                headline="" if top is None else str(next(iter(top["content"].values()), "")),
            )
        )
    return shown


async def close_cap(shop: Shop, customer_id: str) -> Cap:
    """Ask for push messages until the daily cap closes. A push is a contact the moment it is decided."""
    delivered: list[int] = []
    for _ in range(TRIES):
        answer = await recommend(shop, customer_id, "push", limit=1, debug=True)
        delivered.append(answer["count"])
        if not answer["count"]:
            removals: dict[str, int] = answer["meta"].get("removals", {})
            reason = max(removals, key=lambda each: removals[each], default="no candidate")
            return Cap(customer_id, delivered, True, reason)
    return Cap(customer_id, delivered, False, "")


async def close_loop(shop: Shop, customer_id: str) -> Loop:
    """Recommend on the website, record a click, and read the customer right after."""
    before = await shop.customer(customer_id)
    answer = await recommend(shop, customer_id, "web", limit=1)
    if not answer["decisions"]:
        raise DemoError(f"customer {customer_id} was offered nothing on the website")
    response = {
        "customerId": customer_id,
        "recommendationId": answer["recommendationId"],
        "rank": 1,
        "outcome": "click",
        "idempotencyKey": f"click-{answer['recommendationId']}",
    }
    recorded = await shop.call("POST", "/api/v1/respond", response)
    after = await shop.customer(customer_id)
    return Loop(
        customer_id=customer_id,
        offer=recorded["offerName"],
        clicks_before=round(before["metrics"]["clicks_30d"]),
        clicks_after=round(after["metrics"]["clicks_30d"]),
    )


async def why_not(shop: Shop, customer_id: str) -> list[str]:
    """What a trace says about the offers that were removed, one line each, those under a cap first."""
    answer = await recommend(shop, customer_id, "push", limit=1, trace=True)
    trace = await shop.call("GET", f"/api/v1/decision-traces/{answer['traceId']}")
    (filtered,) = [stage for stage in trace["stages"] if stage["name"] == "filter"]
    lines: list[str] = filtered["filtered"]
    return sorted(lines, key=lambda line: "(frequency_cap" not in line)


async def recommend(shop: Shop, customer_id: str, channel: str, **options: Any) -> Any:
    """The answer to a recommend call.

    Raises:
        DemoError: the customer or flow is not known, or the server refuses.
    """
    body = {"customerId": customer_id, "channel": channel, **options}
    answer = await shop.call("POST", "/api/v1/recommend", body)
    if answer is None:
        raise DemoError(f"recommend does not know customer {customer_id}")
    return answer
