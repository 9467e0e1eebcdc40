"""`offertide worker`: one worker, or several under a supervisor, configured by the environment."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from config.settings import Settings

MOST_WORKERS = 64


@click.command()
@click.option(
    "--workers",
    "count",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    help="Worker processes, one for each core. Each is on the next port, with its own folder worker-0, "
    "worker-1, …, and is started again when it ends.",
)
@click.option("--supervised-as", "number", type=click.IntRange(min=0), hidden=True)
def worker(count: int, number: int | None) -> None:
    """Run one worker until SIGTERM, or several.

    Settings come from OFFERTIDE_* environment variables; docs/settings.md lists them.

    \b
    Examples:
      OFFERTIDE_BROKER=127.0.0.1:9092 offertide worker
      OFFERTIDE_WEB_PORT=8081 OFFERTIDE_DATA_DIR=/var/lib/offertide/2 offertide worker
      offertide worker --workers 4        # on ports 8080 to 8083
    """
    from config.logs import configure_logs
    from config.per_worker import per_worker
    from config.settings import Settings, SettingsError

    try:
        settings = Settings.from_env(os.environ)
        if settings.auth_mode == "api_key":
            settings.pepper()
        all_settings = per_worker(settings, count)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    configure_logs(settings, worker=number)
    sys.exit(run(settings, supervised=number is not None) if count == 1 else supervise(all_settings))


def supervise(all_settings: tuple[Settings, ...]) -> int:
    """Run a worker with each of these settings; returns the exit code."""
    from app.supervisor import Supervisor, worker_command

    obstacle = next(filter(None, map(_obstacle, all_settings)), None)
    if obstacle is not None:
        click.echo(f"the workers cannot start: {obstacle}", err=True)
        return 1
    return Supervisor(all_settings, worker_command()).run()


def _obstacle(settings: Settings) -> str | None:
    """What keeps a worker from its folder or its port, to be known before any has started."""
    from app.ports import check_ports

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        check_ports(settings)
    except OSError as error:
        return str(error)
    return None


def run(settings: Settings, *, supervised: bool = False) -> int:
    """Run a worker in its own event loop; returns the exit code. Broker trouble at start is one sentence."""
    from app.provision import ProvisionError
    from app.worker import run_worker
    from tables.spool_files import SpoolHeldError

    # The decoded customers are millions of long-lived objects without cycles. At the default thresholds the
    # collector walks them all over and over, a third of the fold's time over many customers; at much higher
    # ones a single pass over the young holds up requests for tens of milliseconds.
    gc.set_threshold(10_000, 10, 100)
    # Should a library crash the process, standard error tells where.
    faulthandler.enable()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(run_worker(settings, supervised=supervised))
    except ProvisionError as error:
        click.echo(str(error), err=True)
    except SpoolHeldError:
        click.echo(
            f"the worker cannot start: another worker has the folder {settings.data_dir}; give each its own "
            "OFFERTIDE_DATA_DIR",
            err=True,
        )
    except OSError as error:
        # A folder that cannot be made, a port that is taken: its own sentence names it.
        click.echo(f"the worker cannot start: {error}", err=True)
    return 1


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop's loop where there is one; None means asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory
