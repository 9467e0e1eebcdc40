"""`offertide catalog`: a tenant's catalogue as a file, in and out."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from app.commands.catalog_summary import json_of, summary_of
from app.commands.terminal import (
    BAD_INPUT,
    checked_tenant,
    environment_settings,
    fail,
    run_with_brokers,
    user_name,
)

if TYPE_CHECKING:
    from app.decision.problems import Problem
    from config.settings import Settings
    from tables.catalogue_document import Document
    from tables.catalogue_plan import ImportDiff

T = TypeVar("T")

DIFFERENT = 1
DEFAULT_TENANT = "demo"


@click.group()
def catalog() -> None:
    """Import, compare and export a tenant's catalogue.

    The brokers are those of OFFERTIDE_BROKER (default 127.0.0.1:9092).

    \b
    Examples:
      offertide catalog diff shop.yaml --tenant acme
      offertide catalog import shop.yaml --tenant acme
      offertide catalog export --tenant acme --output acme.yaml
    """


@catalog.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--tenant", help=f"Whose catalogue it is; default: what the file says, else {DEFAULT_TENANT}.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--prune", is_flag=True, help="Delete what the file does not name; otherwise it stays.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes, or the problems, as JSON.")
def import_command(
    file: click.utils.LazyFile, tenant: str | None, dry_run: bool, prune: bool, as_json: bool
) -> None:
    """Make a tenant's catalogue say what FILE says, all of it or nothing. FILE is YAML or JSON, - is stdin.

    Workers have it within a second. Importing the same file again changes nothing.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 something is wrong with FILE,
    the options or the settings.

    \b
    Examples:
      offertide catalog import config/samples/music-shop.yaml
      offertide catalog import shop.yaml --tenant acme --dry-run
      offertide catalog import shop.json --prune --json
    """
    from tables.catalogue_document import CatalogueInvalidError

    settings = environment_settings()
    try:
        tenant_id, document = _document(file, tenant)
        diff = run_with_brokers(_import(settings, tenant_id, document, dry_run=dry_run, prune=prune))
    except CatalogueInvalidError as error:
        _refuse(error.problems, as_json)
    click.echo(json_of(diff, dry_run) if as_json else summary_of(diff, dry_run))


@catalog.command("diff")
@click.argument("file", type=click.File("rb"))
@click.option("--tenant", help=f"Whose catalogue it is; default: what the file says, else {DEFAULT_TENANT}.")
@click.option("--prune", is_flag=True, help="Count what the file does not name as deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes, or the problems, as JSON.")
def diff_command(file: click.utils.LazyFile, tenant: str | None, prune: bool, as_json: bool) -> None:
    """Show what importing FILE would change, field by field. FILE is YAML or JSON, - is stdin.

    \b
    Exit codes, as those of diff: 0 nothing would change, 1 something would, 2 trouble.

    \b
    Examples:
      offertide catalog diff shop.yaml --tenant acme
      offertide catalog diff shop.yaml --prune --json
    """
    from tables.catalogue_document import CatalogueInvalidError

    settings = environment_settings()
    try:
        tenant_id, document = _document(file, tenant)
        work = _import(settings, tenant_id, document, dry_run=True, prune=prune)
        diff = run_with_brokers(work, trouble=BAD_INPUT)
    except CatalogueInvalidError as error:
        _refuse(error.problems, as_json)
    click.echo(json_of(diff, dry_run=True) if as_json else summary_of(diff, dry_run=True))
    sys.exit(0 if diff.empty else DIFFERENT)


@catalog.command("export")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose catalogue to export.")
@click.option(
    "--format", "form", type=click.Choice(["yaml", "json"]), help="Default: json for a file .json, else yaml."
)
@click.option("--output", type=click.Path(dir_okay=False), help="The file to write; default: stdout.")
def export_command(tenant: str, form: str | None, output: str | None) -> None:
    """Write a tenant's catalogue as a document that `import` takes: importing it changes nothing.

    \b
    Exit codes: 0 done, 1 trouble with the brokers, 2 wrong options or settings,
    or the file cannot be written.

    \b
    Examples:
      offertide catalog export > demo.yaml
      offertide catalog export --tenant acme --output acme.json
    """
    from tables.catalogue_document import document_of
    from tables.catalogue_yaml import json_text, yaml_text

    tenant_id = checked_tenant(tenant)
    document = document_of(tenant_id, run_with_brokers(_read(environment_settings(), tenant_id)))
    as_json = form == "json" or (form is None and (output or "").endswith(".json"))
    text = json_text(document) if as_json else yaml_text(document)
    try:
        with click.open_file(output or "-", "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", BAD_INPUT)


def _document(file: click.utils.LazyFile, tenant: str | None) -> tuple[str, Document]:
    """The file's document and whose catalogue it is."""
    from tables.catalogue_document import read_document
    from tables.catalogue_yaml import SIZE_MAX

    document = read_document(file.read(SIZE_MAX + 1))
    return checked_tenant(tenant or document.tenant_id or DEFAULT_TENANT), document


async def _import(
    settings: Settings, tenant_id: str, document: Document, *, dry_run: bool, prune: bool
) -> ImportDiff:
    from app.provision import ensure_topics, topic_exists, wait_for_broker
    from config.topics import AUDIT, CATALOG
    from tables.catalogue_log import TenantLog
    from tables.catalogue_plan import plan_import
    from tables.catalogue_writer import CatalogueWriter

    by = user_name("offertide catalog import")
    await wait_for_broker(settings)
    if dry_run and not await topic_exists(settings, CATALOG):
        return plan_import(tenant_id, TenantLog(), document.entries, by, datetime.now(UTC), prune).diff
    await ensure_topics(settings, only=[CATALOG, AUDIT])
    writer = CatalogueWriter(settings)
    change = writer.preview if dry_run else writer.import_tenant
    return await change(tenant_id, document.entries, by, prune=prune)


async def _read(settings: Settings, tenant_id: str) -> Any:
    from app.provision import topic_exists, wait_for_broker
    from config.topics import CATALOG
    from tables.catalogue_writer import CatalogueWriter

    await wait_for_broker(settings)
    if not await topic_exists(settings, CATALOG):
        return {}
    return await CatalogueWriter(settings).read_tenant(tenant_id)


def _refuse(problems: list[Problem], as_json: bool) -> NoReturn:
    if as_json:
        from tables.catalogue_yaml import json_text

        found = [{"field": problem.path, "message": problem.message} for problem in problems]
        click.echo(json_text({"problems": found}), nl=False)
    for problem in problems:
        click.echo(
            f"{problem.path}: {problem.message}" if problem.path else f"FILE {problem.message}", err=True
        )
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    fail(f"{count}; nothing was imported", BAD_INPUT)
