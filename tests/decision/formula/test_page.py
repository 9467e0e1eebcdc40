"""Every example of docs/concepts/formulas.md gives what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.decision.catalogue import load_entity
from app.decision.entities import Entity
from app.decision.formula import DEPTH_MAX, FUNCTIONS, LENGTH_MAX
from app.decision.formula.values import TEXT_MAX
from tests.decision.formula.building import compiled

PAGE = (Path(__file__).parents[3] / "docs" / "concepts" / "formulas.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def code(cell: str) -> str:
    """What stands in a cell's backquotes."""
    found = re.fullmatch(r"(`+)(.*)\1", cell.strip())
    assert found, cell
    inner = found.group(2)
    return (inner.strip() if len(found.group(1)) == 2 else inner).replace("\\|", "|")


def examples() -> list[tuple[str, Any]]:
    """The rows of the tables that begin with formula and gives."""
    rows: list[tuple[str, Any]] = []
    for table in re.findall(r"\| formula \| gives \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE):
        for line in table.splitlines():
            formula, gives = re.split(r"(?<!\\)\|", line.strip("|"))
            rows.append((code(formula), json.loads(code(gives))))
    return rows


@pytest.mark.parametrize(("text", "gives"), examples())
def test_an_example_gives_what_the_page_says(text: str, gives: object) -> None:
    found = compiled(text).evaluate(json.loads(block("json")))
    assert (type(found), found) == (type(gives), gives)


def test_the_page_shows_every_function_and_the_limits() -> None:
    shown = " ".join(text for text, _ in examples())
    assert len(examples()) > 80
    assert [name for name in [*FUNCTIONS, "now"] if f"{name}(" not in shown] == []
    assert f"at most {LENGTH_MAX:,} characters" in PAGE
    assert f"at most {DEPTH_MAX} levels" in PAGE
    assert f"more than {TEXT_MAX:,} characters" in PAGE


def test_the_pages_documents_load() -> None:
    for kind, bodies in yaml.safe_load(block("yaml")).items():
        for body in bodies:
            assert isinstance(load_entity(kind, body), Entity)
