"""`offertide audit`: the audit trail, checked and written out."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from app.commands.terminal import (
    BAD_INPUT,
    BROKER_TROUBLE,
    checked_tenant,
    environment_settings,
    fail,
    run_with_brokers,
)

if TYPE_CHECKING:
    from config.settings import Settings

#: A chain does not hold.
BROKEN = 3


@click.group()
def audit() -> None:
    """Check and export the audit trail: who changed what in a tenant's catalogue.

    The brokers are those of OFFERTIDE_BROKER (default 127.0.0.1:9092).

    \b
    Examples:
      offertide audit verify
      offertide audit export --tenant acme --output acme-audit.jsonl
    """


@audit.command("verify")
@click.option("--tenant", help="Whose trail to check; default: every tenant's.")
@click.option("--json", "as_json", is_flag=True, help="Print the chains as JSON.")
def verify_command(tenant: str | None, as_json: bool) -> None:
    """Check that nobody changed or removed an entry: every hash, every link, and the newest entry.

    The newest entry of a tenant is the one that its catalogue's commit marker names.

    \b
    Exit codes: 0 every chain holds, 1 trouble with the brokers, 2 wrong options or settings,
    3 a chain does not hold.

    \b
    Examples:
      offertide audit verify
      offertide audit verify --tenant acme --json
    """
    tenant_id = None if tenant is None else checked_tenant(tenant)
    chains = run_with_brokers(_verify(environment_settings(), tenant_id))
    if as_json:
        click.echo(json.dumps({"chains": chains}, indent=2))
    else:
        for chain in chains:
            state = chain["problem"] or "holds"
            click.echo(f"{chain['tenant']}: {chain['sequence']} entries, {state}")
        if not chains:
            click.echo("there are no entries")
    if any(chain["problem"] for chain in chains):
        sys.exit(BROKEN)


@audit.command("export")
@click.option("--tenant", required=True, help="Whose trail to export.")
@click.option("--output", type=click.Path(dir_okay=False), default="-", help="The file; default: stdout.")
def export_command(tenant: str, output: str) -> None:
    """Write a tenant's entries as JSON lines, oldest first, as they are on the topic.

    It checks nothing: see `verify`.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 wrong options or settings,
    or the file cannot be written.

    \b
    Examples:
      offertide audit export --tenant acme > acme-audit.jsonl
    """
    tenant_id = checked_tenant(tenant)
    try:
        with click.open_file(output, "w", encoding="utf-8") as file:
            run_with_brokers(_export(environment_settings(), tenant_id, file))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", BAD_INPUT)


async def _verify(settings: Settings, tenant_id: str | None) -> list[dict[str, Any]]:
    from tables.audit_chain import Chains
    from tables.audit_topic import AuditReadError, entries_to_now
    from tables.catalogue_topic import read_to_now

    if not await _there(settings):
        return []
    # First the heads: a trail that grows meanwhile has them all the same.
    heads = {name: log.audit_head for name, log in (await read_to_now(settings)).tenants.items()}
    chains = Chains()
    try:
        async for _ in entries_to_now(settings, chains):
            pass
    except AuditReadError as error:
        fail(str(error), BROKER_TROUBLE)
    names = {name for name, _ in chains} | {name for name, head in heads.items() if head.sequence}
    return [
        {
            "tenant": name,
            "sequence": chains.of(name).head.sequence,
            "hash": chains.of(name).head.hash,
            "problem": chains.of(name).fault(heads.get(name, chains.of(name).head)),
        }
        for name in sorted(names)
        if tenant_id in (None, name)
    ]


async def _export(settings: Settings, tenant_id: str, file: IO[str]) -> None:
    from tables.audit_chain import Chains
    from tables.audit_records import canonical
    from tables.audit_topic import AuditReadError, entries_to_now

    if not await _there(settings):
        return
    try:
        async for name, entry in entries_to_now(settings, Chains()):
            if name == tenant_id:
                file.write(canonical(entry).decode() + "\n")
    except AuditReadError as error:
        fail(str(error), BROKER_TROUBLE)


async def _there(settings: Settings) -> bool:
    """Whether there is a trail; asking creates no topic."""
    from app.provision import topic_exists, wait_for_broker
    from config.topics import AUDIT, CATALOG

    await wait_for_broker(settings)
    return await topic_exists(settings, AUDIT) and await topic_exists(settings, CATALOG)
