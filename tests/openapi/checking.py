"""A client that holds every answer to the OpenAPI document, whatever the test asks for."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from tests.openapi.validating import DOCUMENT, answer_problems, path_of


class CheckingClient(TestClient[Any, Any]):
    """Fails the test that got an answer which the document does not allow."""

    __test__ = False

    async def _request(self, method: Any, path: Any, **kwargs: Any) -> ClientResponse:
        response = await super()._request(method, path, **kwargs)
        url = response.url.raw_path
        found = path_of(url, method)
        if found in DOCUMENT["paths"] and response.status not in UNDOCUMENTED:
            body = await response.read()
            told = answer_problems(method, url, response.status, response.headers, body)
            assert not told, f"{method} {path} {response.status}: {told} {body[:500]!r}"
        return response


#: Not of an operation: another method.
UNDOCUMENTED = (405,)
