"""What the help says: all commands, with examples that the program takes, and exit codes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import main

#: Run until they are stopped; their exit code is no answer.
SERVERS = {"demo", "worker"}


def walk(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below this one and itself, by the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, (*words, name))


ALL = dict(walk(main))


def help_of(words: tuple[str, ...]) -> str:
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    return done.output


def examples_of(words: tuple[str, ...]) -> list[list[str]]:
    """Their arguments, without variables before them and the redirection behind."""
    text = (ALL[words].help or "").partition("Examples:\n")[2]
    lines = [re.sub(r"^(\w+=\S+ )+", "", line.strip()).partition(" > ")[0] for line in text.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("offertide ")]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_help_has_examples_that_the_program_takes(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert examples_of(words)
    for program, *arguments in examples_of(words):
        assert program == "offertide"
        for word in arguments:
            if re.fullmatch(r"[\w/-]+\.(yaml|json|txt)", word):
                Path(word).parent.mkdir(parents=True, exist_ok=True)
                Path(word).touch()
        parse(arguments)


def parse(arguments: list[str]) -> None:
    """Raise click's error for arguments that no command takes; nothing is run."""
    words = max((words for words in ALL if tuple(arguments[: len(words)]) == words), key=len)
    assert not isinstance(ALL[words], click.Group)
    ALL[words].make_context(words[-1], arguments[len(words) :])


@pytest.mark.parametrize(
    "words", [words for words, one in ALL.items() if not isinstance(one, click.Group)], ids=" ".join
)
def test_every_command_that_ends_says_its_exit_codes(words: tuple[str, ...]) -> None:
    assert ("Exit codes" in help_of(words)) == (words[0] not in SERVERS)


@pytest.mark.parametrize(
    "words", [words for words, one in ALL.items() if isinstance(one, click.Group)], ids=" ".join
)
def test_a_group_lists_its_commands(words: tuple[str, ...]) -> None:
    group = ALL[words]
    assert isinstance(group, click.Group)
    listed = help_of(words).partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == group.list_commands(click.Context(group))
