"""Answers that never change while the worker runs: made once, and not sent again to who has them."""

from __future__ import annotations

import hashlib

from web.view import JSON, Answer, Call

_NOT_MODIFIED = 304


class Cached:
    """An answer's bytes, by which a client's copy is recognised.

    Args:
        body: the bytes.
        content_type: what they are.
        max_age_s: for how long a client may use its copy without asking, in seconds.
        policy: what a page may load; None for what is no page.
    """

    def __init__(
        self, body: bytes, content_type: str = JSON, max_age_s: int = 0, policy: str | None = None
    ) -> None:
        self._body = body
        self._content_type = content_type
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        kept = f"public, max-age={max_age_s}" if max_age_s else "no-cache"
        self._headers = {"ETag": self._etag, "Cache-Control": kept}
        if policy is not None:
            self._headers["Content-Security-Policy"] = policy

    def answer(self, call: Call) -> Answer:
        """The answer to who has it, or not yet."""
        if self._etag in _listed(call.headers.get("If-None-Match", "")):
            return Answer(b"", _NOT_MODIFIED, self._headers, self._content_type)
        return Answer(self._body, 200, self._headers, self._content_type)


def _listed(said: str) -> list[str]:
    return [one.strip().removeprefix("W/") for one in said.split(",")]
