"""Lines of a body as it arrives, and what ends one early."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader
from hypothesis import given
from hypothesis import strategies as st

from web.errors import ApiError
from web.ndjson import Bounds, Line, LineReader

MIB = 1_048_576
LINE_BYTES = 64


def reader(bounds: Bounds | None = None) -> tuple[StreamReader, LineReader]:
    # The protocol is told to pause and resume; nothing else of it is used.
    stream = StreamReader(Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
    return stream, LineReader(stream, bounds or Bounds(MIB, LINE_BYTES, 1_000))


async def read(*pieces: bytes, bounds: Bounds | None = None) -> tuple[list[Line], ApiError | None]:
    """The lines of a body that arrives in these pieces, and what ended it early."""
    stream, lines = reader(bounds)
    for piece in pieces:
        stream.feed_data(piece)
    stream.feed_eof()
    found: list[Line] = []
    try:
        async for line in lines.lines():
            found.append(line)
    except ApiError as error:
        return found, error
    return found, None


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"\n\n  \r\n", []),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"a\r\n\nb", [(1, b"a\r"), (3, b"b")]),
        (b"x" * LINE_BYTES + b"\ny", [(1, b"x" * LINE_BYTES), (2, b"y")]),
        (b"x" * (LINE_BYTES + 1) + b"\ny", [(1, None), (2, b"y")]),
        (b"a\n" + b"x" * (LINE_BYTES + 1), [(1, b"a"), (2, None)]),
    ],
)
async def test_lines_are_numbered_and_too_long_ones_are_told(
    body: bytes, lines: list[tuple[int, bytes | None]]
) -> None:
    assert await read(body) == (lines, None)


@given(
    st.lists(st.integers(0, 90).map(lambda n: b"x" * n), max_size=12),
    st.lists(st.integers(1, 200), max_size=20),
)
def test_however_a_body_arrives_its_lines_are_the_same(lines: list[bytes], cuts: list[int]) -> None:
    body, pieces = b"\n".join(lines), []
    rest = body
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    whole = asyncio.run(read(body))
    assert asyncio.run(read(*[piece for piece in pieces if piece])) == whole


async def test_a_line_without_end_is_not_held() -> None:
    stream, lines = reader(Bounds(100 * MIB, LINE_BYTES, 1_000))
    found: list[Line] = []

    async def consume() -> None:
        async for line in lines.lines():
            found.append(line)

    consuming = asyncio.create_task(consume())
    for _ in range(1_000):
        stream.feed_data(b"x" * 50_000)
        await asyncio.sleep(0)
        assert lines.held_bytes <= LINE_BYTES
    stream.feed_data(b"\nnext\n")
    stream.feed_eof()
    await consuming
    assert found == [(1, None), (2, b"next")]


async def test_too_large_a_body_ends_behind_the_lines_before() -> None:
    stream, lines = reader(Bounds(10, LINE_BYTES, 1_000))
    stream.feed_data(b"a\nb\n")
    found = lines.lines()
    assert [await anext(found), await anext(found)] == [(1, b"a"), (2, b"b")]
    stream.feed_data(b"c\nd\ne\nf\n")
    with pytest.raises(ApiError, match="larger than 10 bytes") as ended:
        await anext(found)
    assert (ended.value.status, ended.value.headers) == (413, {"Connection": "close"})


async def test_too_many_lines_are_413_behind_the_last_that_fits() -> None:
    found, error = await read(b"a\n\nb\nc\n", bounds=Bounds(MIB, LINE_BYTES, 3))
    assert found == [(1, b"a"), (3, b"b")]
    assert error is not None
    assert (error.status, "more than 3 lines" in error.message) == (413, True)
    assert (await read(b"a\n\nb\n", bounds=Bounds(MIB, LINE_BYTES, 3)))[1] is None


@pytest.mark.parametrize("bounds", [(0.01, 60.0), (60.0, 0.01)])
async def test_a_slow_sender_ends_the_body(bounds: tuple[float, float]) -> None:
    stream, lines = reader(Bounds(MIB, LINE_BYTES, 1_000, *bounds))
    stream.feed_data(b"a\nb")
    found = lines.lines()
    assert await anext(found) == (1, b"a")
    with pytest.raises(ApiError, match="too slowly"):
        await anext(found)


async def test_a_body_that_breaks_off_loses_the_line_it_cut() -> None:
    stream, lines = reader()
    stream.feed_data(b"a\n{")
    found = lines.lines()
    assert await anext(found) == (1, b"a")
    stream.set_exception(ConnectionResetError())
    with pytest.raises(ApiError, match="broke off") as ended:
        await anext(found)
    assert ended.value.status == 400
