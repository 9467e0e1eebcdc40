"""`offertide formula check`, run as people run it, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main


def check(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["formula", "check", *arguments], input=text)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("1 + 2",), "OK\nreads: nothing\ngives: 3\n"),
        (("customer.age >= 18 && fee < 10", "--set", "customer.age=40", "--set", "fee=9"),
         "OK\nreads: fee, customer.age\ngives: true\n"),
        (("customer.age",), "OK\nreads: customer.age\ngives: null\n"),
        (("concat(a, b)", "--fields", " a, b", "--set", "a=x y", "--set", 'b="1"'),
         'OK\nreads: a, b\ngives: "x y1"\n'),
        (("--", "-1"), "OK\nreads: nothing\ngives: -1\n"),
        (("customer.address.city", "--set", "customer.address.city=Köln"),
         'OK\nreads: customer.address.city\ngives: "Köln"\n'),
        (("attributes.basket.total", "--set", 'attributes.basket={"total": 5}'),
         "OK\nreads: attributes.basket.total\ngives: 5\n"),
        (("len(customer.tags)", "--set", 'customer.tags=["a", "b"]'), "OK\nreads: customer.tags\ngives: 2\n"),
        (("days_between(now, '2028-03-01')", "--set", "now=2028-02-28"), "OK\nreads: nothing\ngives: 2\n"),
        (("now > 1700000000000",), "OK\nreads: nothing\ngives: true\n"),
    ],
)  # fmt: skip
def test_a_formula_is_ok_and_gives_a_value(arguments: tuple[str, ...], printed: str) -> None:
    result = check(*arguments)
    assert (result.exit_code, result.output) == (0, printed)


def test_each_problem_is_shown_at_its_place() -> None:
    result = check("1 +\n  fes * rond(2)", "--fields", "fee")
    assert result.exit_code == 1
    assert result.stderr == (
        "2:3 there is no custom field fes; did you mean fee?\n"
        "    fes * rond(2)\n"
        "    ^\n"
        "2:9 there is no function rond; did you mean round?\n"
        "    fes * rond(2)\n"
        "          ^\n"
    )
    assert result.stdout == ""
    long = check("1 + " * 400)
    line, caret = long.stderr.splitlines()[1:]
    assert long.stderr.startswith("1:1601 expected a value")
    assert len(line) <= 102
    assert caret.index("^") == len(line.rstrip()) + 1


def test_text_comes_from_stdin_or_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "rate.txt"
    file.write_text("1 +\n  1\n", encoding="utf-8")
    for result in (check("-", text="1 + 1\n"), check("--file", "-", text="2"), check("--file", str(file))):
        assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "gives: 2")
    file.write_bytes(b"\xff")
    assert check("--file", str(file)).exit_code == 2
    file.write_text("1" * 20_000)
    assert "longer than 2,000 characters" in check("--file", str(file)).stderr


def test_scripts_read_json() -> None:
    result = check("fee * 1.5 + metrics.m", "--set", "fee=2", "--json")
    assert json.loads(result.stdout) == {"ok": True, "names": ["fee"], "fields": ["metrics.m"], "value": None}
    result = check("1 +", "--json")
    assert result.exit_code == 1
    message = "expected a value, but the formula ends here"
    assert json.loads(result.stdout) == {
        "ok": False,
        "problems": [{"message": message, "line": 1, "column": 4}],
    }


@pytest.mark.parametrize(
    "sample",
    [
        'apr="\\ud800"',
        "apr=\udcff",
        'apr={"a": ["\\ud800"]}',
        'apr={"\\ud800": 1}',
        "apr\udcff=1",
        'now="\\udfff"',
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_no_record_can_carry_is_refused_in_words(sample: str, options: tuple[str, ...]) -> None:
    result = check("apr", "--set", sample, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the text is not valid Unicode text" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [(), ("1", "--file", "-"), ("1", "--set", "a"), ("1", "--set", "=1"), ("1", "--set", "now=soon"),
     ("1", "--set", "now=null"), ("--file", "/no/such/file")],
)  # fmt: skip
def test_wrong_options_are_told_apart_from_wrong_formulas(arguments: tuple[str, ...]) -> None:
    assert check(*arguments).exit_code == 2


def test_help_shows_examples() -> None:
    assert "offertide formula check" in check("--help").output
