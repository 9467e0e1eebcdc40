"""`offertide customers`: load a file of customers into a worker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from app.customer_files.loading import Send, Tally
    from app.customer_files.opening import Reading
    from app.customer_files.row import Row, Source
    from app.customer_files.sending import Rejected

WORKER_TROUBLE = 1
BAD_FILE = 2
DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TENANT = "demo"
#: Not one of OFFERTIDE_*: those are a worker's settings, and an unknown one is an error.
KEY_VARIABLE = "OTK_API_KEY"
FORMATS = ("csv", "jsonl", "parquet")
_FROM = click.IntRange(min=1)


@click.group()
def customers() -> None:
    """Load a file of customers into a worker.

    \b
    Examples:
      offertide customers load customers.csv --dry-run
    """


@customers.command("load")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: as FILE ends.")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Any worker of the application.")
@click.option("--key", envvar=KEY_VARIABLE, help=f"API key; default: the variable {KEY_VARIABLE}.")
@click.option("--tenant", help=f"Whose customers; default: the key's, {DEFAULT_TENANT} without a key.")
@click.option("--replace", is_flag=True, help="Forget what a row does not name, as PUT does.")
@click.option("--text", is_flag=True, help="CSV: send 1, 2.5 and true as text.")
@click.option("--delimiter", help="CSV: what stands between cells; default: a comma, in .tsv a tab.")
@click.option("--from-row", default=1, show_default=True, type=_FROM, help="Leave out those before.")
@click.option("--dry-run", is_flag=True, help="Only check the file; no worker is asked.")
@click.option("--errors", type=click.Path(dir_okay=False), help="Write rejected rows here, as JSON lines.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON, and no progress.")
def load_command(file: str, **options: Any) -> None:
    """Merge the customers of FILE into those there are. FILE is CSV, Parquet or JSON lines, - is stdin.

    A CSV or Parquet file has a column customerId. timeZone, locale, tags (a;b;c) and consent.CHANNEL are what
    they are called; any other column, or attributes.NAME, is an attribute. An empty cell changes nothing.
    A line of a JSON lines file is the body of PATCH /customers/{id}, with customerId.

    \b
    Exit codes: 0 all rows are taken, 1 trouble with the worker (says from which row to go on),
    2 some rows were rejected, FILE cannot be read, or wrong options.

    \b
    Examples:
      offertide customers load customers.csv --dry-run
      offertide customers load customers.parquet --url https://offers.example --errors rejected.jsonl
      offertide customers load customers.jsonl --from-row 120001
    """
    _check(options)
    from app.customer_files.loading import Tally
    from app.customer_files.opening import Reading
    from app.customer_files.row import FileProblem
    from app.customer_files.sending import SendError

    reading = Reading(options["form"], options["replace"], options["text"], options["delimiter"])
    tally, trouble, code = Tally(), "", 0
    try:
        _load(file, reading, options, tally)
    except FileProblem as error:
        trouble, code = f"{file} {error}", BAD_FILE
    except SendError as error:
        tally.next_row = error.row.number
        trouble, code = _stopped(str(error), tally), WORKER_TROUBLE
    except KeyboardInterrupt:
        trouble, code = _stopped("interrupted", tally), WORKER_TROUBLE
    _tell(tally, trouble, options)
    sys.exit(code or (BAD_FILE if tally.rejected else 0))


def _check(options: dict[str, Any]) -> None:
    """Raises click.BadParameter for options that cannot be."""
    if not options["url"].startswith(("http://", "https://")):
        raise click.BadParameter("must begin with http:// or https://", param_hint="--url")
    delimiter = options["delimiter"]
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        raise click.BadParameter("must be one character, and no quote or line end", param_hint="--delimiter")


def _load(file: str, reading: Reading, options: dict[str, Any], tally: Tally) -> None:
    from app.customer_files.opening import opened
    from app.customer_files.telling import Refusals

    with ExitStack() as stack:
        source = stack.enter_context(opened(file, reading))
        errors = options["errors"]
        try:
            told = None if errors is None else stack.enter_context(open(errors, "w", encoding="utf-8"))
        except OSError as error:
            raise click.BadParameter(f"cannot be written: {error.strerror}", param_hint="--errors") from error
        asyncio.run(_run(source, Refusals(told), options, tally))


async def _run(source: Source, refusals: Any, options: dict[str, Any], tally: Tally) -> None:
    from app.customer_files.loading import load
    from app.customer_files.telling import progressing

    with progressing(source, quiet=options["as_json"]) as progress:
        arguments = (refusals.tell, progress.went_on, tally, options["from_row"])
        if options["dry_run"]:
            await load(source, _checking(options["tenant"]), *arguments)
            return
        import aiohttp

        from app.customer_files.sending import Sender

        async with aiohttp.ClientSession(headers=_headers(options)) as session:
            await load(source, Sender(session, options["url"]).send, *arguments)


def _checking(tenant: str | None) -> Send:
    """Finds what a worker would find wrong with a row."""
    from app.customer_files.sending import Rejected
    from web.bulk_line import check_line

    async def check(rows: Sequence[Row]) -> list[Rejected]:
        found = [(row, check_line(row.line, tenant or DEFAULT_TENANT)) for row in rows]
        return [Rejected(row, checked.problems) for row, checked in found if checked.record is None]

    return check


def _headers(options: dict[str, Any]) -> dict[str, str]:
    key, tenant = options["key"], options["tenant"]
    headers = {} if key is None else {"X-API-Key": key}
    if tenant is not None or key is None:
        headers["X-Tenant-Id"] = tenant or DEFAULT_TENANT
    return headers


def _stopped(reason: str, tally: Tally) -> str:
    """What to do after an end before the file's."""
    if tally.next_row is None:
        return f"Stopped after row {tally.rows}: {reason}"
    return f"Stopped: {reason}. Go on with --from-row {tally.next_row}"


def _tell(tally: Tally, trouble: str, options: dict[str, Any]) -> None:
    if options["as_json"]:
        import msgspec

        told = {**msgspec.to_builtins(tally), "dryRun": options["dry_run"], "problem": trouble or None}
        click.echo(msgspec.json.encode(told).decode())
    else:
        taken = "correct" if options["dry_run"] else "accepted"
        click.echo(f"{tally.rows} rows: {tally.accepted} {taken}, {tally.rejected} rejected")
    if trouble:
        click.echo(trouble, err=True)
