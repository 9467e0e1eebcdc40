"""Sending rows to a worker that does not take them at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.child import free_ports
from app.customer_files.row import Row
from app.customer_files.sending import ATTEMPTS_FIRST, ATTEMPTS_MAX, PAUSE_MAX_S, Rejected, Sender, SendError

Handler = Callable[[list[str]], web.Response]


class Worker:
    """What a sender sees of a worker: each answer as the test says, and what was sent before."""

    def __init__(self, *answers: Handler) -> None:
        self.answers = list(answers)
        self.bodies: list[list[str]] = []
        self.pauses: list[float] = []

    async def handle(self, request: web.Request) -> web.Response:
        lines = (await request.text()).splitlines()
        self.bodies.append(lines)
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(lines)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        app = web.Application()
        app.router.add_post("/api/v1/customers/bulk", self.handle)
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            yield Sender(session, str(server.make_url("/")), self.pause)


def rows(count: int) -> list[Row]:
    return [Row(n, f"c{n}", f"c{n}".encode()) for n in range(1, count + 1)]


def answer(status: int, statuses: str = "", **headers: str) -> Handler:
    """An answer that tells each line: a accepted, r rejected, t retry."""
    names = {"a": "accepted", "r": "rejected", "t": "retry"}

    def make(lines: list[str]) -> web.Response:
        told = statuses * len(lines) if len(statuses) == 1 else statuses
        results = [
            {
                "line": n,
                "status": names[one],
                "details": [{"field": "x", "message": lines[n - 1]}] * (one == "r"),
            }
            for n, one in enumerate(told, 1)
        ]
        return web.json_response({"results": results, "error": "no"}, status=status, headers=headers)

    return make


async def sent(worker: Worker, count: int) -> list[Rejected]:
    async with worker.sender() as sender:
        return await sender.send(rows(count))


async def test_rejected_rows_come_back_with_their_problems() -> None:
    worker = Worker(answer(202, "ara"))
    (rejected,) = await sent(worker, 3)
    assert (rejected.row.number, rejected.problems[0].message) == (2, "c2")
    assert worker.bodies == [["c1", "c2", "c3"]]


async def test_what_is_to_be_sent_again_is_in_its_order() -> None:
    worker = Worker(answer(202, "atrt"), answer(503, "t"), answer(202, "a"))
    (rejected,) = await sent(worker, 4)
    assert rejected.row.number == 3
    assert worker.bodies == [["c1", "c2", "c3", "c4"], ["c2", "c4"], ["c2", "c4"]]
    assert worker.pauses == [0.25, 0.5]


async def test_a_worker_that_is_not_ready_is_asked_again_with_growing_pauses() -> None:
    worker = Worker(*[answer(503)] * 4, answer(429, **{"Retry-After": "3"}), answer(202, "a"))
    assert await sent(worker, 2) == []
    assert worker.pauses == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_a_retry_after_is_waited_for_up_to_a_bound() -> None:
    worker = Worker(
        answer(429, **{"Retry-After": "3"}), answer(429, **{"Retry-After": "86400"}), answer(202, "a")
    )
    assert await sent(worker, 1) == []
    assert worker.pauses == [3.0, PAUSE_MAX_S]


async def test_attempts_end_and_say_from_which_row_to_go_on() -> None:
    worker = Worker(answer(202, "aatt"), answer(503, "t"))
    with pytest.raises(SendError, match=f"answered 503: no \\({ATTEMPTS_MAX} attempts\\)") as ended:
        await sent(worker, 4)
    assert ended.value.row.number == 3
    assert len(worker.bodies) == ATTEMPTS_MAX + 1


async def test_nobody_there_is_trouble_too() -> None:
    worker = Worker()
    async with aiohttp.ClientSession() as session:
        sender = Sender(session, f"http://127.0.0.1:{free_ports(1)[0]}", worker.pause)
        with pytest.raises(SendError, match="does not answer") as ended:
            await sender.send(rows(2))
    assert (ended.value.row.number, len(worker.pauses)) == (1, ATTEMPTS_FIRST - 1)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 500])
async def test_what_no_retry_can_mend_is_the_end_at_once(status: int) -> None:
    worker = Worker(answer(status))
    with pytest.raises(SendError, match=f"answered {status}: no"):
        await sent(worker, 2)
    assert (len(worker.bodies), worker.pauses) == (1, [])


async def test_something_that_is_no_worker_is_told_as_such() -> None:
    worker = Worker(lambda _: web.Response(text="<html>", content_type="text/html", status=404))
    with pytest.raises(SendError, match="no answer of a worker"):
        await sent(worker, 1)


async def test_a_body_that_is_too_large_is_halved_and_stays_so() -> None:
    def most_two(lines: list[str]) -> web.Response:
        return answer(202, "a")(lines) if len(lines) <= 2 else answer(413)(lines)

    worker = Worker(most_two)
    assert await sent(worker, 9) == []
    assert [len(body) for body in worker.bodies] == [9, 4, 2, 2, 2, 2, 1]
    assert worker.pauses == []


async def test_a_single_row_that_is_too_large_is_rejected() -> None:
    def no_c2(lines: list[str]) -> web.Response:
        return answer(413)(lines) if "c2" in lines else answer(202, "a")(lines)

    rejected = await sent(Worker(no_c2), 3)
    assert [one.row.number for one in rejected] == [2]


async def test_a_body_that_was_read_in_part_goes_on_behind_that() -> None:
    worker = Worker(answer(413, "aa"), answer(202, "a"))
    assert await sent(worker, 3) == []
    assert worker.bodies == [["c1", "c2", "c3"], ["c3"]]
