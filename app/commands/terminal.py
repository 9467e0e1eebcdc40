"""What commands that talk to the brokers share: settings for a person who waits, and one-sentence endings."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from config.settings import Settings

T = TypeVar("T")

BROKER_TROUBLE = 1
BAD_INPUT = 2
#: A person waits for the answer: shorter than a worker's start.
_BROKER_TIMEOUT_MS = 10_000


def environment_settings() -> Settings:
    """The environment's settings, with logs set up for a person; wrong ones end the program."""
    import logging

    import msgspec

    from config.logs import configure_logs
    from config.settings import Settings, SettingsError

    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    level = settings.log_level if settings.log_level in ("debug", "error", "critical") else "warning"
    configure_logs(msgspec.structs.replace(settings, log_level=level))
    if level != "debug":
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its trouble ends in our own sentence
    timeout_ms = min(settings.broker_start_timeout_ms, _BROKER_TIMEOUT_MS)
    return msgspec.structs.replace(settings, broker_start_timeout_ms=timeout_ms)


def run_with_brokers(work: Coroutine[Any, Any, T], trouble: int = BROKER_TROUBLE) -> T:
    """What the work returns; trouble with the brokers ends the program with one sentence and this code."""
    from app.provision import ProvisionError
    from tables.catalogue_commit import CatalogueWriteError
    from tables.catalogue_topic import CatalogueReadError

    try:
        return asyncio.run(work)
    except (ProvisionError, CatalogueReadError, CatalogueWriteError) as error:
        fail(str(error), trouble)


def checked_tenant(tenant_id: str) -> str:
    """The tenant's id; another text ends the program."""
    from tables.catalogue_records import is_tenant_id

    if not is_tenant_id(tenant_id):
        raise click.BadParameter("must be 1 to 64 of the characters a-z 0-9 -", param_hint="--tenant")
    return tenant_id


def user_name(otherwise: str) -> str:
    """Who runs the command, as far as this machine knows."""
    try:
        return getpass.getuser()[:256]
    except (OSError, KeyError, ImportError):
        return otherwise


def fail(sentence: str, code: int) -> NoReturn:
    """End the program."""
    click.echo(sentence, err=True)
    sys.exit(code)
