"""`offertide demo`: a whole Offertide on this machine, fed with a music shop's real purchases."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.demo.report import Report
    from app.demo.shop import Shop
    from app.demo.stopping import Stopping
    from app.demo.story import Totals
    from app.demo.watching import Parts
    from config.settings import Settings

TENANT = "demo"
NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gina", "Hugo")


@click.command()
@click.option("--exit", "leave", is_flag=True, help="End when the story is told, instead of staying open.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option("--port", type=click.IntRange(1, 65_535), help="The server's port; 8080 when it is free.")
@click.option("--broker", help="host:port of a running Kafka, instead of a broker in memory.")
def demo(leave: bool, as_json: bool, port: int | None, broker: str | None) -> None:
    """Start a broker and a worker, send them 6,919 real purchases, and show what they decide.

    \b
    Examples:
      offertide demo
      offertide demo --exit --json
      offertide demo --broker 127.0.0.1:9092
    """
    # Before the imports that take long: a Ctrl-C during them ends as one later does.
    from app.demo.stopping import Stopping

    stopping = Stopping(exit_code=130 if leave else 0, to_stderr=as_json)
    stopping.listen()

    import asyncio
    import logging

    import msgspec

    from app.demo.report import Report

    foreseen = _foreseen()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the demo says itself what goes wrong
    report = Report(to_stderr=as_json)
    try:
        summary = asyncio.run(_run(report, stopping, leave, port, broker))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report.stopped()
        sys.exit(0 if not leave else 130)
    except foreseen as error:
        click.echo(f"The demo cannot go on: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())


def _foreseen() -> tuple[type[Exception], ...]:
    """What ends the demo with a sentence; anything else is a defect, and shows its traceback."""
    from aiokafka.errors import KafkaError

    from app.demo.producing import DeliveryError
    from app.demo.watching import DemoError
    from app.embedded import EmbeddedBrokerError
    from app.provision import ProvisionError
    from config.settings import SettingsError
    from tables.catalogue_commit import CatalogueWriteError
    from tables.catalogue_topic import CatalogueReadError

    return (
        DemoError,
        DeliveryError,
        EmbeddedBrokerError,
        ProvisionError,
        SettingsError,
        CatalogueReadError,
        CatalogueWriteError,
        KafkaError,
        OSError,
    )


async def _run(
    report: Report, stopping: Stopping, leave: bool, port: int | None, broker: str | None
) -> dict[str, object]:
    from app.demo.server import demo_settings

    with stopping.cancelling():
        report.say("Starting a broker in memory." if broker is None else f"Using the broker at {broker}.")
        async with demo_settings(broker, port) as (settings, parts):
            return await _on_broker(report, settings, parts, leave)


async def _on_broker(report: Report, settings: Settings, parts: Parts, leave: bool) -> dict[str, object]:
    import asyncio

    from app.demo.server import import_sample, running_worker
    from app.demo.watching import while_alive

    report.say("Creating topics and importing the music shop's catalogue.")
    entries = await while_alive(parts, import_sample(settings, TENANT))
    names = {
        entry.entity.id: entry.entity.name
        for entry in entries
        if entry.kind in ("qualification-rules", "contact-policies")
    }
    report.say(f"  {len(entries)} entities. Starting a worker.")
    async with running_worker(settings, parts) as (url, running):
        summary, customer_id = await while_alive(running, _tell(report, settings, url, names))
        if not leave:
            report.open_server(url, TENANT, customer_id)
            await while_alive(running, asyncio.Event().wait())
        return summary


async def _tell(
    report: Report, settings: Settings, url: str, names: Mapping[str, str]
) -> tuple[dict[str, object], str]:
    import time

    from app.demo.shop import Shop
    from app.demo.story import close_cap, close_loop, show_offers

    started = time.monotonic()
    async with Shop(url, TENANT) as shop:
        totals, states = await _feed(report, settings, shop)
        seconds = time.monotonic() - started
        rekeyed = round(await shop.metric("offertide_rekeyed_total"))
        report.totals(totals, seconds, rekeyed)
        shown = await show_offers(shop, states, NAMES)
        report.offers(shown)
        customer_id = shown[0].customer_id
        loop = await close_loop(shop, names, shown[2])
        report.loop(loop)
        cap = await close_cap(shop, names, customer_id)
        report.cap(cap)
        dead = round(await shop.metric("offertide_dead_letters_total"))
    summary: dict[str, object] = {
        "purchases": totals.purchases,
        "customers": totals.customers,
        "cds": totals.cds,
        "amount": totals.amount,
        "rekeyed": rekeyed,
        "dead_letters": dead,
        "delivered_before_cap": sum(cap.delivered),
        "cap_closed": cap.closed,
        "clicks_seen": loop.clicks_after - loop.clicks_before,
        "next_recommend_sees_click": loop.moved is not None,
        "seconds": round(seconds, 2),
        "url": url,
    }
    return summary, customer_id


async def _feed(report: Report, settings: Settings, shop: Shop) -> tuple[Totals, dict[str, Any]]:
    """Send all purchases and read all customers back, once every purchase is in the state."""
    from datetime import UTC, datetime

    from app.demo.producing import produce_purchases
    from app.demo.purchases import sample_purchases, shifted
    from app.demo.story import all_folded
    from config.topics import EVENTS, topic_names

    purchases = shifted(sample_purchases(), datetime.now(UTC).date())
    customer_ids = sorted({purchase.customer_id for purchase in purchases}, key=int)
    report.say(f"Sending {len(purchases):,} purchases by two clients with different partitioners.")
    with report.progress() as bars:
        sent = bars.add_task("sent", total=len(purchases))
        folded = bars.add_task("in the state", total=len(purchases))
        topic = topic_names(settings.app_id)[EVENTS]
        await produce_purchases(
            settings.broker, topic, TENANT, purchases, lambda count: bars.advance(sent, count)
        )
        return await all_folded(
            shop, customer_ids, len(purchases), lambda count: bars.update(folded, completed=count)
        )
