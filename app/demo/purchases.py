"""The purchases of the sample, with their dates brought up to now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources

import msgspec


class Purchase(msgspec.Struct, frozen=True):
    """One line of the file. `line` counts from 1 and is the event's id: 21 lines repeat another exactly."""

    line: int
    customer_id: str
    day: date
    cds: int
    amount: float


def sample_purchases() -> list[Purchase]:
    """The 6,919 purchases that ship with the package, in file order.

    Raises:
        ValueError: a line is not a purchase.
    """
    text = resources.files("config").joinpath("samples/cdnow/CDNOW_sample.txt").read_text("ascii")
    return parse_purchases(text.splitlines())


def parse_purchases(lines: Iterable[str]) -> list[Purchase]:
    """Purchases of lines `file's id, sample's id, YYYYMMDD, CDs, US dollars`; empty lines are passed over."""
    return [_parse(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _parse(number: int, line: str) -> Purchase:
    fields = line.split()
    if len(fields) != 5:
        raise ValueError(f"line {number} has {len(fields)} fields, not 5: {line!r}")
    _, customer, day, cds, amount = fields
    return Purchase(
        number, str(int(customer)), datetime.strptime(day, "%Y%m%d").date(), int(cds), float(amount)
    )


def shifted(purchases: Sequence[Purchase], today: date) -> list[Purchase]:
    """The same purchases with the last one yesterday and every interval kept, so that windows mean something.

    Args:
        today: UTC.
    """
    last = max(purchase.day for purchase in purchases)
    shift = today - timedelta(days=1) - last
    return [msgspec.structs.replace(purchase, day=purchase.day + shift) for purchase in purchases]


def event_of(purchase: Purchase, tenant_id: str) -> bytes:
    """The purchase as a record of the `events` topic. The file has no time of day: noon, UTC."""
    at = datetime.combine(purchase.day, time(12), UTC)
    return msgspec.json.encode(
        {
            "tenantId": tenant_id,
            "customerId": purchase.customer_id,
            "type": "purchase",
            "eventId": str(purchase.line),
            "timestamp": at,
            "data": {"cds": purchase.cds, "amount": purchase.amount},
        }
    )
