"""What is no sound HTTP, answered as the contract answers: JSON with a code and a request id.

1.  The parser's own words are told where they hold nothing of the request; else a sentence of ours.
2.  The connection ends with the answer: where the next request would begin is not known for sure.
3.  The log gets no stack for what a client sends; it is counted by reason.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadHttpMethod,
    BadStatusLine,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)
from aiohttp.web import HTTPException

from app.decision.refusals import Problem, first_problems
from web.errors import ApiError

#: Ends the connection with the answer.
CLOSE = {"Connection": "close"}
_NO_TEXT = "is not percent-encoded UTF-8"
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_TOLD: tuple[tuple[type[BaseException], str, str], ...] = (
    (LineTooLong, "too_large", "its target or one of its headers is too long"),
    (InvalidURLError, "target", "its target is not a valid path"),
    (InvalidHeader, "header", "one of its headers is malformed"),
    (BadHttpMethod, "method", "its method is not one of HTTP"),
    (BadStatusLine, "line", "its first line is not one of HTTP/1.1"),
)


class HeadTooLargeError(BadHttpMessage):
    """The request line and the headers together are larger than the limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"its line and headers together are larger than {limit_bytes} bytes")


def reason_of(error: BaseException) -> str:
    """Why a request could not be read, as one of the few words it is counted by."""
    if isinstance(error, HeadTooLargeError):
        return "too_large"
    return next((reason for kind, reason, _ in _TOLD if isinstance(error, kind)), "message")


def malformed(error: BaseException) -> ApiError:
    """400 for a request that could not be read, saying what is wrong with it."""
    return _refused(next((told for kind, _, told in _TOLD if isinstance(error, kind)), _words_of(error)))


def check_target(target: str) -> None:
    """Nothing, when a request's target says one thing only; decoding would replace what is not UTF-8.

    Raises:
        ApiError: 400 for a percent sign that begins no byte, and for bytes that are not UTF-8, by the
            parameters they are in.
    """
    if "%" not in target:
        return
    path, _, query = target.partition("?")
    problems = [] if _is_text(path) else [Problem("", f"the path {_NO_TEXT}")]
    pairs = [pair.partition("=")[::2] for pair in query.split("&")]
    problems += [Problem(unquote(name), _NO_TEXT) for name, value in pairs if not _is_text(name + value)]
    if problems:
        first = problems[0]
        told = (
            f"{first.field}: {first.message}"
            if first.field
            else f"The request cannot be read: {first.message}"
        )
        raise ApiError(400, "VALIDATION_ERROR", told, first_problems(problems))


def _is_text(encoded: str) -> bool:
    try:
        unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return False
    return _STRAY_PERCENT.search(encoded) is None


def refused_by_server(error: HTTPException) -> ApiError:
    """What the server refuses before any view is asked, in the contract's words."""
    if error.status == 404:
        return ApiError(404, "NOT_FOUND", "There is nothing at this path.", headers=CLOSE)
    if error.status == 417:
        return _refused("it expects something other than 100-continue")
    return _refused(f"the server answers {error.status}")


def _refused(message: str) -> ApiError:
    problem = Problem("", message)
    told = f"The request is not valid HTTP/1.1: {message}"
    return ApiError(400, "VALIDATION_ERROR", told, (problem,), CLOSE)


def _words_of(error: BaseException) -> str:
    """The parser's first line; what follows shows bytes of the request."""
    if not isinstance(error, BadHttpMessage):
        return "it cannot be read"
    return error.message.partition("\n")[0].rstrip(":.") or "it cannot be read"
