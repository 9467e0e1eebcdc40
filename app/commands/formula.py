"""`offertide formula`: formulas, tried out before they are in a catalogue."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from app.decision.conditions import Environment
    from app.decision.formula import Formula, FormulaProblem

WRONG = 1
#: More than any formula may have: the rest of a longer file need not be read to refuse it.
_READ_MAX = 10_000


@click.group()
def formula() -> None:
    """Try out formulas of computed fields and expressions.

    \b
    Examples:
      offertide formula check 'round(apr - 1.5, 2)' --set apr=19.9
    """


@formula.command("check")
@click.argument("text", required=False)
@click.option(
    "--file", type=click.File("r", encoding="utf-8"), help="Read the formula from a file; - is stdin."
)
@click.option("--fields", help="The custom fields that exist, with commas between; default: any.")
@click.option(
    "--set", "samples", multiple=True, metavar="NAME=VALUE",
    help="A value to evaluate with, JSON or text: apr=19.9, customer.age=40, now=1800000000000.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result, or the problems, as JSON.")
def check_command(
    text: str | None, file: Any, fields: str | None, samples: tuple[str, ...], as_json: bool
) -> None:
    """Say whether TEXT is a formula, what it reads and what it gives, or where it is wrong. TEXT - is stdin.

    What is not set is missing, so null. Before a TEXT that begins with a minus write --, behind the
    options. docs/concepts/formulas.md describes the language.

    \b
    Exit codes: 0 it is a formula, 1 it is not, 2 wrong options.

    \b
    Examples:
      offertide formula check 'round(apr - 1.5, 2)' --fields apr,fee --set apr=19.9
      offertide formula check 'customer.age >= 18' --set customer.age=40
      offertide formula check --file rate.txt --json
    """
    from app.decision.formula import compile_formula

    source = _source(text, file)
    names = None if fields is None else {name.strip() for name in fields.split(",") if name.strip()}
    environment = _environment(samples)
    compiled = compile_formula(source, names)
    if isinstance(compiled, list):
        _refuse(source, compiled, as_json)
    click.echo(_as_json(compiled, environment) if as_json else _in_words(compiled, environment))


def _source(text: str | None, file: Any) -> str:
    if (text is None) is (file is None):
        raise click.UsageError("Give the formula as TEXT, or with --file, and not both.")
    if file is None and text != "-":
        return str(text)
    try:
        read = (file or click.get_text_stream("stdin", encoding="utf-8")).read(_READ_MAX)
    except UnicodeDecodeError:
        raise click.UsageError("The formula is not UTF-8 text.") from None
    # An editor ends the last line; the formula does not.
    return str(read).rstrip("\r\n")


def _environment(samples: tuple[str, ...]) -> Environment:
    """What the samples say, by namespace."""
    from app.decision.conditions import NAMESPACES

    values: dict[str, dict[str, Any]] = {name: {} for name in sorted(NAMESPACES)}
    values["offer"] = {}
    values["time"] = {"now_ms": time.time_ns() // 1_000_000}
    for sample in samples:
        name, equals, written = sample.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{sample} is not NAME=VALUE", param_hint="--set")
        _require_unicode(name)
        namespace, dot, rest = name.strip().partition(".")
        if name.strip() == "now":
            values["time"]["now_ms"] = _instant(written)
        elif dot and namespace in NAMESPACES:
            values[namespace][rest] = _value(written)
        else:
            values["offer"][name.strip()] = _value(written)
    return values


def _value(written: str) -> Any:
    """JSON where it is some, else text as it is."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        value = written
    _require_unicode(value)
    return value


def _require_unicode(value: Any) -> None:
    """Refuse half a surrogate pair anywhere within: no record can carry it, nor can it be printed."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise click.BadParameter("the text is not valid Unicode text", param_hint="--set") from None


def _instant(written: str) -> int:
    from app.decision.formula import instant_ms

    value = _value(written)
    found = instant_ms(value) if isinstance(value, str | int | float) else None
    if found is None:
        raise click.BadParameter(f"{written} is neither ISO 8601 nor epoch ms", param_hint="--set now")
    return found


def _as_json(compiled: Formula, environment: Environment) -> str:
    shown = {
        "ok": True,
        "names": sorted(compiled.names),
        "fields": sorted(compiled.fields),
        "value": compiled.evaluate(environment),
    }
    return json.dumps(shown, ensure_ascii=False)


def _in_words(compiled: Formula, environment: Environment) -> str:
    reads = ", ".join([*sorted(compiled.names), *sorted(compiled.fields)]) or "nothing"
    value = json.dumps(compiled.evaluate(environment), ensure_ascii=False)
    return f"OK\nreads: {reads}\ngives: {value}"


def _refuse(source: str, problems: list[FormulaProblem], as_json: bool) -> NoReturn:
    if as_json:
        import msgspec

        click.echo(json.dumps({"ok": False, "problems": msgspec.to_builtins(problems)}, ensure_ascii=False))
        sys.exit(WRONG)
    lines = source.split("\n")
    for problem in problems:
        click.echo(f"{problem.line}:{problem.column} {problem.message}", err=True)
        click.echo(_pointed_at(lines[problem.line - 1], problem.column), err=True)
    sys.exit(WRONG)


def _pointed_at(line: str, column: int) -> str:
    """A line with a caret under a column; of a long line what is around it."""
    start = max(0, column - 61)
    shown = "".join(character if character.isprintable() else " " for character in line[start : start + 100])
    return f"  {shown}\n  {' ' * (column - 1 - start)}^"
