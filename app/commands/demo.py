"""`offertide demo`: a whole Offertide on this machine, fed with a music shop's real purchases."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from app.demo.report import Report
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
    from aiokafka.errors import KafkaError

    from app.demo.producing import DeliveryError
    from app.demo.report import Report
    from app.demo.server import DemoError
    from app.embedded import EmbeddedBrokerError
    from app.provision import ProvisionError
    from config.settings import SettingsError

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the demo says itself what goes wrong
    report = Report(to_stderr=as_json)
    try:
        summary = asyncio.run(_run(report, leave, port, broker))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report.say("Stopped.")
        sys.exit(0 if not leave else 130)
    except (
        DemoError,
        DeliveryError,
        EmbeddedBrokerError,
        ProvisionError,
        SettingsError,
        KafkaError,
    ) as error:
        click.echo(f"The demo cannot go on: {error}", err=True)
        sys.exit(1)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(summary).decode())


async def _run(report: Report, leave: bool, port: int | None, broker: str | None) -> dict[str, object]:
    from app.demo.server import demo_settings, import_sample, running_worker

    running = asyncio.current_task()
    assert running is not None
    # A service manager's stop cleans up like Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    report.say("Starting a broker in memory." if broker is None else f"Using the broker at {broker}.")
    async with demo_settings(broker, port) as settings:
        report.say("Creating topics and importing the music shop's catalogue.")
        entities = await import_sample(settings, TENANT)
        report.say(f"  {entities} entities. Starting a worker.")
        async with running_worker(settings) as url:
            summary, customer_id = await _tell(report, settings, url)
            if not leave:
                report.open_server(url, TENANT, customer_id)
                await asyncio.Event().wait()
            return summary


async def _tell(report: Report, settings: Settings, url: str) -> tuple[dict[str, object], str]:
    from app.demo.producing import produce_purchases
    from app.demo.purchases import sample_purchases, shifted
    from app.demo.story import Shop, all_folded, close_cap, close_loop, show_offers, why_not
    from config.topics import EVENTS, topic_names

    purchases = shifted(sample_purchases(), datetime.now(UTC).date())
    customer_ids = sorted({purchase.customer_id for purchase in purchases}, key=int)
    report.say(f"Sending {len(purchases):,} purchases by two clients with different partitioners.")
    started = time.monotonic()
    async with Shop(url, TENANT) as shop:
        with report.progress() as bars:
            sent = bars.add_task("sent", total=len(purchases))
            folded = bars.add_task("in the state", total=len(purchases))
            topic = topic_names(settings.app_id)[EVENTS]
            await produce_purchases(
                settings.broker, topic, TENANT, purchases, lambda count: bars.advance(sent, count)
            )
            totals, states = await all_folded(
                shop, customer_ids, len(purchases), lambda count: bars.update(folded, completed=count)
            )
        seconds = time.monotonic() - started
        rekeyed = round(await shop.metric("offertide_rekeyed_total"))
        report.totals(totals, seconds, rekeyed)
        shown = await show_offers(shop, states, NAMES)
        report.offers(shown)
        customer_id = shown[0].customer_id
        cap = await close_cap(shop, customer_id)
        report.cap(cap, await why_not(shop, customer_id))
        loop = await close_loop(shop, shown[1].customer_id)
        report.loop(loop)
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
        "seconds": round(seconds, 2),
        "url": url,
    }
    return summary, customer_id
