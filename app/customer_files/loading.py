"""A file's rows into a worker, or only checked: counted, and those that are refused told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from app.customer_files.row import FileProblem, Row, Source
from app.customer_files.sending import Rejected

#: Rows and bytes of one request.
BATCH_ROWS = 1_000
BATCH_BYTES = 2 * 1_048_576

#: Sends rows, and returns those that are refused.
Send = Callable[[Sequence[Row]], Awaitable[Sequence[Rejected]]]


class Tally(msgspec.Struct, rename="camel"):
    """How many rows there were, and what became of them; `next_row` is the first that is not done."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    next_row: int | None = None


async def load(
    source: Source,
    send: Send,
    refused: Callable[[Rejected], None],
    went_on: Callable[[Tally], None],
    tally: Tally,
    from_row: int = 1,
) -> None:
    """Send every row of a file.

    Args:
        source: the file.
        send: takes a batch.
        refused: is told each row that is not taken, in order within its batch.
        went_on: is told the tally after each batch.
        tally: counts.
        from_row: rows before this one are left out.

    Raises:
        FileProblem: the rest of the file cannot be read; what is before it was sent.
        SendError: as of `Sender.send`.
    """
    for batch in _batches(row for row in source.rows() if row.number >= from_row):
        tally.next_row = batch[0].number
        await _load_batch(batch, send, refused, tally)
        tally.next_row = None
        went_on(tally)


async def _load_batch(
    batch: Sequence[Row], send: Send, refused: Callable[[Rejected], None], tally: Tally
) -> None:
    found = [Rejected(row, row.problems) for row in batch if row.problems]
    found += await send([row for row in batch if not row.problems])
    tally.rows += len(batch)
    tally.rejected += len(found)
    tally.accepted += len(batch) - len(found)
    for one in sorted(found, key=lambda one: one.row.number):
        refused(one)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows in groups that go in one request each; where the file breaks off, those before it first."""
    batch: list[Row] = []
    size, problem = 0, None
    while problem is None:
        try:
            row = next(rows, None)
        except FileProblem as error:
            row, problem = None, error
        if row is None:
            break
        batch.append(row)
        size += len(row.line)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
    if problem is not None:
        raise problem
