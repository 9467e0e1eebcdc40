"""The header `Idempotency-Key`: 1 to 256 characters of UTF-8."""

from __future__ import annotations

from app.decision.refusals import Problem
from web.caller import Headers

IDEMPOTENCY_KEY = "Idempotency-Key"


def given_key(headers: Headers, problems: list[Problem]) -> str | None:
    """The key that the header gives, None without one; a bad one is None too, and a problem."""
    given = headers.get(IDEMPOTENCY_KEY)
    if given is None:
        return None
    found = len(problems)
    if not 1 <= len(given) <= 256:
        problems.append(Problem(IDEMPOTENCY_KEY, "must have 1 to 256 characters"))
    if not _is_utf8(given):
        problems.append(Problem(IDEMPOTENCY_KEY, "must be UTF-8"))
    return given if len(problems) == found else None


def _is_utf8(header: str) -> bool:
    """Whether a header's value was UTF-8: the server hands over other bytes as surrogates."""
    try:
        header.encode()
    except UnicodeEncodeError:
        return False
    return True
