"""Rows to a worker: batches of a bulk load, one after the other, again where that makes sense.

Rules:

1.  A batch is over before the next begins, so a customer's rows keep their order. What the worker tells to be
    sent again goes out again, in its order, before anything else.
2.  503, 429 and broken connections are tried again, with growing pauses; any answer that took a line begins
    the count of attempts anew. Writing a profile twice does no harm.
3.  A body that is too large for the worker is cut in halves. Anything else that is no success is the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import aiohttp
import msgspec

from app.customer_files.row import Row
from app.decision.refusals import Problem

#: Attempts without a single line taken, and the longest pause between two, in seconds.
ATTEMPTS_MAX = 10
#: The same before the worker ever answered: its address may be wrong.
ATTEMPTS_FIRST = 3
PAUSE_MAX_S = 10.0
_PAUSE_FIRST_S = 0.25

_TIMEOUT = aiohttp.ClientTimeout(total=180, sock_connect=5)
_TYPE = {"Content-Type": "application/x-ndjson"}
#: The status of no answer at all.
_NONE = 0
_AGAIN = frozenset({_NONE, 202, 429, 502, 503, 504})


class SendError(Exception):
    """The worker could not be reached, or takes nothing from this caller. `row` is the first not taken."""

    def __init__(self, message: str, row: Row) -> None:
        super().__init__(message)
        self.row = row


class Rejected(NamedTuple):
    """A row that the worker refused, and why."""

    row: Row
    problems: Sequence[Problem]


class _Result(msgspec.Struct, rename="camel"):
    line: int
    status: str
    details: list[Problem] = []


class _Body(msgspec.Struct, rename="camel"):
    error: str = ""
    results: list[_Result] = []


#: What to do about an answer, where the worker speaks of headers and this is a command.
_HINTS = {
    401: " Give an editor's key by the variable OTK_API_KEY or --key; `offertide keys create` makes one",
    403: " Give a key of the role editor, of that tenant, by the variable OTK_API_KEY or --key",
}


class _Answer(NamedTuple):
    status: int
    body: _Body
    retry_after_s: float


class _Round(NamedTuple):
    """What one answer left to do."""

    left: list[Row]
    rejected: list[Rejected]
    progress: bool


class Sender:
    """Sends rows to one worker.

    Args:
        session: carries the caller's headers.
        url: of the worker, without a path.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/api/v1/customers/bulk"
        self._pause = pause
        self._most = 0
        self._answered = False

    async def send(self, rows: Sequence[Row]) -> list[Rejected]:
        """The rows that were refused; the others are durable on Kafka.

        Raises:
            SendError: some rows are neither.
        """
        left, rejected, attempts = list(rows), list[Rejected](), 0
        while left:
            batch = left[: self._most or None]
            answer = await self._post(batch)
            done = _round(batch, answer.body)
            left = done.left + left[len(batch) :]
            rejected += done.rejected
            if not done.left:
                attempts = 0
            elif answer.status == 413 and not done.progress:
                left, refused = self._halve(left, len(batch))
                rejected += refused
            elif done.progress or answer.status in _AGAIN:
                attempts = 0 if done.progress else attempts + 1
                await self._wait(attempts, answer, left[0])
            else:
                raise SendError(_told(answer), left[0])
        return rejected

    async def _post(self, batch: Sequence[Row]) -> _Answer:
        """What the worker answered."""
        body = b"".join(row.line + b"\n" for row in batch)
        try:
            async with self._session.post(
                self._url, data=body, headers=_TYPE, allow_redirects=False, timeout=_TIMEOUT
            ) as response:
                self._answered = True
                return await _read(response)
        except TimeoutError:
            return _Answer(_NONE, _Body("no answer in time"), 0.0)
        except aiohttp.ClientError as error:
            return _Answer(_NONE, _Body(str(error) or type(error).__name__), 0.0)

    async def _wait(self, attempts: int, answer: _Answer, first: Row) -> None:
        """Pause before lines go out again; raises SendError after too many attempts."""
        if attempts >= (ATTEMPTS_MAX if self._answered else ATTEMPTS_FIRST):
            raise SendError(f"{_told(answer)} ({attempts} attempts)", first)
        await self._pause(max(_pause_s(attempts), min(answer.retry_after_s, PAUSE_MAX_S)))

    def _halve(self, left: list[Row], size: int) -> tuple[list[Row], list[Rejected]]:
        """Send half as many from now on; a single row that is too large is refused."""
        if size > 1:
            self._most = size // 2
            return left, []
        problem = Problem("", "is larger than the worker takes, see OFFERTIDE_BULK_LIMIT_BYTES")
        return left[1:], [Rejected(left[0], (problem,))]


async def _read(response: aiohttp.ClientResponse) -> _Answer:
    text = await response.read()
    try:
        body = msgspec.json.decode(text, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _Body(f"something that is no answer of a worker ({response.content_type})")
    seconds = response.headers.get("Retry-After", "")
    retry_after_s = float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0
    return _Answer(response.status, body, retry_after_s)


def _round(batch: Sequence[Row], body: _Body) -> _Round:
    """What became of a batch; rows that the answer does not tell are left."""
    told = {one.line: one for one in body.results}
    left: list[Row] = []
    rejected: list[Rejected] = []
    for number, row in enumerate(batch, 1):
        result = told.get(number)
        if result is None or result.status == "retry":
            left.append(row)
        elif result.status == "rejected":
            rejected.append(Rejected(row, result.details))
    return _Round(left, rejected, len(left) < len(batch))


def _told(answer: _Answer) -> str:
    if answer.status == _NONE:
        return f"the worker does not answer: {answer.body.error}"
    told = f"the worker answered {answer.status}: {answer.body.error or 'Kafka did not take all lines'}"
    return told + _HINTS.get(answer.status, "")


def _pause_s(attempts: int) -> float:
    return float(min(_PAUSE_FIRST_S * 2**attempts, PAUSE_MAX_S))
