"""What the worker's only HTTP client may do: talk to other workers, within bounds.

1.  Whom it talks to is http(s)://host:port and nothing more. Who advertises something else gets no request.
2.  It follows nothing, remembers nothing, takes no proxy from the environment, and unpacks nothing.
3.  An answer has a size; what is larger is not read on.
"""

from __future__ import annotations

import functools
from urllib.parse import urlsplit

import aiohttp

#: Largest answer taken from another worker, its head apart.
ANSWER_LIMIT_BYTES = 16 * 1_048_576


class AnswerTooLargeError(aiohttp.ClientPayloadError):
    """The answer is larger than `ANSWER_LIMIT_BYTES`."""


@functools.lru_cache(maxsize=1_024)
def is_worker_url(url: str) -> bool:
    """Whether this can be a worker's URL: http or https, host and port, no credentials and no path."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    beyond = (parts.path, parts.query, parts.fragment, parts.username, parts.password)
    plain = url.isascii() and url.isprintable() and not any(beyond)
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


async def read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The answer's body.

    Raises:
        AnswerTooLargeError: it is larger than allowed, whatever was announced.
    """
    announced = response.content_length
    if announced is not None and announced <= ANSWER_LIMIT_BYTES:
        return await response.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_LIMIT_BYTES:
            raise AnswerTooLargeError(f"more than {ANSWER_LIMIT_BYTES} bytes")
    return b"".join(chunks)
