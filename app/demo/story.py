"""What the demo asks over HTTP: totals read back from every customer, offers, and a cap that closes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from app.demo.funnel import Funnel, see_through
from app.demo.shop import Shop, recommend
from app.demo.watching import DemoError

#: Requests under way at once while reading customers back.
READERS = 32
#: How long all purchases may take to be folded, in seconds.
FOLD_S = 120.0
#: Recommends tried until the cap closes, at most.
TRIES = 10
#: Offers asked for where the order matters: more than a customer can get.
ALL = 20


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
    """A contact cap, asked until it closed: offers delivered by each call, and the funnel of the last."""

    customer_id: str
    delivered: list[int]
    closed: bool
    funnel: Funnel


class Standing(msgspec.Struct, frozen=True):
    """An offer's place and score among a customer's offers."""

    rank: int
    score: float


class Loop(msgspec.Struct, frozen=True):
    """Respond, and what the next read and the next recommend see.

    `moved` is an offer whose score is another now, with its standing before and after; None without one.
    """

    customer_id: str
    name: str
    offer: str
    funnel: Funnel
    clicks_before: int
    clicks_after: int
    moved: tuple[str, Standing, Standing] | None


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


async def close_cap(shop: Shop, names: Mapping[str, str], customer_id: str) -> Cap:
    """Ask for push messages until the daily cap closes. A push is a contact the moment it is decided."""
    delivered: list[int] = []
    for _ in range(TRIES):
        answer, funnel = await see_through(shop, names, customer_id, "push", limit=1)
        delivered.append(answer["count"])
        if not answer["count"]:
            break
    return Cap(customer_id, delivered, not delivered[-1], funnel)


async def close_loop(shop: Shop, names: Mapping[str, str], shown: Shown) -> Loop:
    """Recommend on the website, record a click, and ask again right after."""
    before = await shop.customer(shown.customer_id)
    answer, funnel = await see_through(shop, names, shown.customer_id, "web", limit=ALL)
    if not answer["decisions"]:
        raise DemoError(f"customer {shown.customer_id} was offered nothing on the website")
    response = {
        "customerId": shown.customer_id,
        "recommendationId": answer["recommendationId"],
        "rank": 1,
        "outcome": "click",
        "idempotencyKey": f"click-{answer['recommendationId']}",
    }
    recorded = await shop.call("POST", "/api/v1/respond", response)
    # No pause: respond has answered, so both of these see the click.
    again = await recommend(shop, shown.customer_id, "web", limit=ALL)
    after = await shop.customer(shown.customer_id)
    return Loop(
        customer_id=shown.customer_id,
        name=shown.name,
        offer=recorded["offerName"],
        funnel=funnel,
        clicks_before=round(before["metrics"]["clicks_30d"]),
        clicks_after=round(after["metrics"]["clicks_30d"]),
        moved=_moved(answer, again),
    )


def _moved(before: Any, after: Any) -> tuple[str, Standing, Standing] | None:
    """The first offer that scores otherwise in the second answer."""
    known = {each["offerId"]: each for each in before["decisions"]}
    for new in after["decisions"]:
        old = known.get(new["offerId"])
        if old is not None and old["score"] != new["score"]:
            standings = [Standing(each["rank"], each["score"]) for each in (old, new)]
            return new["offerName"], standings[0], standings[1]
    return None
