"""What a person or a program is told while a file is loaded: progress, refused rows, the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.customer_files.loading import Tally
from app.customer_files.row import Source
from app.customer_files.sending import Rejected
from app.decision.refusals import Problem

#: Refused rows that are shown when no file takes them.
SHOWN_MAX = 10

#: Rows between two lines of progress, where no terminal shows a bar.
PLAIN_ROWS = 100_000


class RefusedRow(msgspec.Struct, rename="camel"):
    """A line of the file of refused rows; `record` is the row as JSON, when it came as far as that."""

    row: int
    customer_id: str | None
    details: list[Problem]
    record: str | None


class Refusals:
    """Where refused rows go: to a file, or the first of them to a person."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._shown = 0

    def tell(self, one: Rejected) -> None:
        """Write down a row that was refused."""
        row, problems = one
        if self._file is not None:
            line = row.line.decode("utf-8", "replace") or None
            told = RefusedRow(row.number, row.customer_id, list(problems), line)
            self._file.write(msgspec.json.encode(told).decode() + "\n")
            return
        self._shown += 1
        if self._shown <= SHOWN_MAX:
            click.echo(f"row {row.number}: {'; '.join(map(_said, problems))}", err=True)
        elif self._shown == SHOWN_MAX + 1:
            click.echo("more rows were rejected; --errors FILE writes all of them", err=True)


def _said(problem: Problem) -> str:
    return f"{problem.field}: {problem.message}" if problem.field else problem.message


class Progressing:
    """Tells how far a file is loaded: a bar on a terminal, else a line now and then."""

    def __init__(self, source: Source, bar: Progress | None) -> None:
        self._source = source
        self._bar = bar
        self._next_plain = PLAIN_ROWS
        if bar is not None:
            self._task = bar.add_task("", total=source.total, rows=0, rejected=0, rate=0)

    def went_on(self, tally: Tally) -> None:
        """A batch more is done."""
        if self._bar is None:
            if tally.rows >= self._next_plain:
                self._next_plain += PLAIN_ROWS
                click.echo(f"{tally.rows} rows, {tally.rejected} rejected", err=True)
            return
        seconds = self._bar.tasks[self._task].elapsed or 0.0
        self._bar.update(
            self._task,
            completed=self._source.position,
            rows=tally.rows,
            rejected=tally.rejected,
            rate=tally.rows / seconds if seconds else 0,
        )


@contextmanager
def progressing(source: Source, quiet: bool) -> Iterator[Progressing]:
    """Progress on standard error; none of it when `quiet`, a bar only on a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Progressing(source, None)
        return
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rejected]:,} rejected"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield Progressing(source, bar)
