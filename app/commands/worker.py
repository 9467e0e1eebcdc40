"""`offertide worker`: one worker process, configured by the environment."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import click


@click.command()
def worker() -> None:
    """Run one worker until SIGTERM.

    Settings come from OFFERTIDE_* environment variables; docs/settings.md lists them.

    \b
    Examples:
      OFFERTIDE_BROKER=127.0.0.1:9092 offertide worker
      OFFERTIDE_WEB_PORT=8081 OFFERTIDE_DATA_DIR=/var/lib/offertide/2 offertide worker
    """
    from config.logs import configure_logs
    from config.settings import Settings, SettingsError

    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    configure_logs(settings)
    sys.exit(run(settings))


def run(settings: object) -> int:
    """Run a worker in its own event loop; returns the exit code. Broker trouble at start is one sentence."""
    from app.provision import ProvisionError
    from app.worker import run_worker
    from config.settings import Settings

    assert isinstance(settings, Settings)
    # The decoded customers are millions of long-lived objects without cycles. At the default thresholds the
    # collector walks them all over and over, a third of the fold's time over many customers; at much higher
    # ones a single pass over the young holds up requests for tens of milliseconds.
    gc.set_threshold(10_000, 10, 100)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(run_worker(settings))
    except ProvisionError as error:
        click.echo(str(error), err=True)
    except OSError as error:
        # A folder that cannot be made, a port that is taken: the system's own sentence names it.
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
