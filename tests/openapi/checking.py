"""A client that holds every answer to the OpenAPI document, whatever the test asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from tests.openapi.validating import answer_problems, path_of

#: Answers that are of no operation.
METHOD_NOT_ALLOWED = 405
NOTHING_THERE = b"There is nothing at this path."


class CheckingClient(TestClient[Any, Any]):
    """Fails the test that got an answer which the document does not allow."""

    __test__ = False

    def __init__(self, server: Any, holds: Callable[[], bool]) -> None:
        super().__init__(server)
        self._holds = holds

    async def _request(self, method: Any, path: Any, **kwargs: Any) -> ClientResponse:
        response = await super()._request(method, path, **kwargs)
        url = response.url.raw_path
        if self._holds() and path_of(url, method) and response.status != METHOD_NOT_ALLOWED:
            body = await response.read()
            if response.status == 404 and NOTHING_THERE in body:
                return response
            told = answer_problems(method, url, response.status, response.headers, body)
            assert not told, f"{method} {path} {response.status}: {told} {body[:500]!r}"
        return response
