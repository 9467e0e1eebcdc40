"""Request bodies: read up to a bound, decoded strictly, every bad field found at once.

Strictly means: JSON in UTF-8, an object, no name twice in an object, at most `DEPTH_MAX` levels, no number
that is not finite. Unknown fields are ignored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from app.decision.refusals import Problem, field_problems, first_twice, malformed_message
from web.errors import ApiError, invalid, too_large, unsupported_coding, unsupported_media_type

DEPTH_MAX = 64

#: A body must arrive within this time, so that slow senders cannot hold all places.
ARRIVAL_TIMEOUT_S = 10.0

#: How a body may be packed: what the server unpacks, and not at all.
_CODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})

S = TypeVar("S", bound=msgspec.Struct)


class DuplicateNameError(ValueError):
    """An object has a name twice, and parsers differ on which value counts."""


class BodyType(Generic[S]):
    """Bodies that are a `kind`, whose fields must all have defaults: what is required is checked after."""

    def __init__(self, kind: type[S]) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, body: bytes) -> tuple[S, list[Problem]]:
        """The fields that fit, and what is wrong with the others (those then have their defaults).

        Raises:
            ApiError: 400 when it is no JSON object at all.
        """
        try:
            value = self._decoder.decode(body)
            _check_strictly(body)
        except msgspec.ValidationError:
            return self._read_fields(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise _malformed(body, error) from error
        return value, []

    def _read_fields(self, body: bytes) -> tuple[S, list[Problem]]:
        try:
            raw = _any.decode(body)
            _check_strictly(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise _malformed(body, error) from error
        if not isinstance(raw, dict):
            raise invalid((Problem("", "must be a JSON object"),))
        problems = field_problems(self._kind, raw)
        bad = {top_field(problem.field) for problem in problems}
        fitting = {name: value for name, value in raw.items() if name not in bad}
        return msgspec.convert(fitting, self._kind), problems


def read_object(body: bytes, depth_max: int = DEPTH_MAX) -> dict[str, Any]:
    """The body's JSON object, of any fields, at most so many levels deep.

    Raises:
        ApiError: 400 when it is no JSON object.
    """
    try:
        value = _any.decode(body)
        _check_strictly(body, depth_max)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _malformed(body, error, depth_max) from error
    if not isinstance(value, dict):
        raise invalid((Problem("", "must be a JSON object"),))
    return value


def top_field(path: str) -> str:
    """The body's own field that a path lies in: `data` for `data.items[0]`."""
    return path.partition(".")[0].partition("[")[0]


def one_value(named: Sequence[tuple[str, Any]], problems: list[Problem]) -> Any:
    """The value of a field and its aliases, or None; two different ones are a problem.

    Args:
        named: name and value of each, the canonical one first.
        problems: is added to.
    """
    given = [(name, value) for name, value in named if value is not None]
    if not given:
        return None
    first_name, first = given[0]
    for name, value in given[1:]:
        if value != first:
            problems.append(Problem(name, f"differs from {first_name}, which it is an alias of"))
    return first


def check_body(request: web.Request, limit_bytes: int, other_types: tuple[str, ...] = ()) -> None:
    """Nothing, when the headers announce a body that may be read: JSON, or one of the other media types.

    Raises:
        ApiError: 413 past the limit; 415 when it is said to be something else.
    """
    announced = request.content_length
    if announced is not None and announced > limit_bytes:
        raise too_large(limit_bytes)
    if not (_is_json(request) or _is_other(request, other_types)):
        raise unsupported_media_type()
    check_coding(request)


def check_coding(request: web.Request) -> None:
    """Raises ApiError, 415, for a body in a coding that is not undone: it would be read as plain."""
    said = request.headers.getall(hdrs.CONTENT_ENCODING, ())
    if said and (len(said) > 1 or said[0].strip().lower() not in _CODINGS):
        raise unsupported_coding()


async def go_on(request: web.Request) -> None:
    """Tell a client that waits to be told so that its body is wanted: not before it is.

    Raises:
        ApiError: 400 when the client is gone.
    """
    if hdrs.EXPECT not in request.headers or request.version != HttpVersion11:
        return
    try:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    except ConnectionError as error:
        raise _broken() from error
    # The answer itself has not begun.
    request.writer.output_size = 0


def body_there(request: web.Request, limit_bytes: int) -> bytes:
    """A body that has arrived.

    Raises:
        ApiError: 413 past the limit, whatever was announced; 400 when it is not encoded as it says.
    """
    try:
        body = request.content.read_nowait()
    except web.RequestPayloadError as error:
        raise _broken() from error
    if len(body) > limit_bytes:
        raise too_large(limit_bytes)
    return body


async def arriving_body(request: web.Request, limit_bytes: int) -> bytes:
    """A body that is still on its way, when it is there.

    Raises:
        ApiError: 413 past the limit, whatever was announced; 400 when it breaks off or is too slow.
    """
    await go_on(request)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(ARRIVAL_TIMEOUT_S):
            while chunk := await request.content.readany():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit_bytes:
                    raise too_large(limit_bytes)
    except TimeoutError as error:
        raise invalid((Problem("", f"did not arrive within {ARRIVAL_TIMEOUT_S:.0f} s"),)) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _broken() from error
    return b"".join(chunks)


def _broken() -> ApiError:
    return invalid((Problem("", "broke off, or is not encoded as its headers say"),))


def _is_json(request: web.Request) -> bool:
    """Whether the headers say JSON in UTF-8; a body without a type is taken to be JSON."""
    said = request.headers.get("Content-Type")
    if said is None or said == "application/json":
        return True
    kind = request.content_type
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return False
    charset = request.charset
    return charset is None or charset.lower() in ("utf-8", "utf8", "us-ascii")


def _is_other(request: web.Request, types: tuple[str, ...]) -> bool:
    return request.content_type != "application/json" and request.content_type in types


def _check_strictly(body: bytes, depth_max: int = DEPTH_MAX) -> None:
    """Raises ValueError or RecursionError for what msgspec lets by: a name twice, deep nesting."""
    document = _unique.decode(body.decode())
    if body.count(b"{") + body.count(b"[") > depth_max:
        _check_depth(document, depth_max)


def _check_depth(document: object, depth_max: int) -> None:
    level = [document]
    for _ in range(depth_max + 1):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            return
        level = below
    raise RecursionError


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = first_twice(name for name, _ in pairs) or ""
        raise DuplicateNameError(f"has the name {twice[:100]!r} twice in an object")
    return made


def _malformed(body: bytes, error: Exception, depth_max: int = DEPTH_MAX) -> ApiError:
    if not body.strip():
        message = "is empty; send a JSON object"
    elif isinstance(error, DuplicateNameError):
        message = str(error)
    elif isinstance(error, RecursionError):
        message = f"is nested deeper than {depth_max} levels"
    else:
        message = malformed_message(error)
    return invalid((Problem("", message),))


_any = msgspec.json.Decoder()
_unique = json.JSONDecoder(object_pairs_hook=_object)
