"""The worker's HTTP API as the demo's shop uses it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from app.demo.watching import DemoError


class Shop:
    """The worker's HTTP API, for one tenant."""

    def __init__(self, url: str, tenant_id: str) -> None:
        self._url = url
        self._tenant_id = tenant_id
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"X-Tenant-Id": self._tenant_id}, timeout=aiohttp.ClientTimeout(total=20)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body; None for 404.

        Raises:
            DemoError: any other failure, as the server says it.
        """
        assert self._session is not None
        async with self._session.request(method, f"{self._url}{path}", json=body) as response:
            if response.status == 404:
                return None
            text = await response.text()
            if response.status >= 400:
                raise DemoError(f"{method} {path}: {response.status} {text}")
            return msgspec.json.decode(text) if response.content_type == "application/json" else text

    async def customer(self, customer_id: str) -> Any:
        return await self.call("GET", f"/api/v1/customers/{quote(customer_id, safe='')}")

    async def metric(self, name: str) -> float:
        """The sum of a metric's series, as /metrics has it."""
        page = await self.call("GET", "/metrics")
        lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def recommend(shop: Shop, customer_id: str, channel: str, **options: Any) -> Any:
    """The answer to a recommend call.

    Raises:
        DemoError: the customer or flow is not known, or the server refuses.
    """
    body = {"customerId": customer_id, "channel": channel, **options}
    answer = await shop.call("POST", "/api/v1/recommend", body)
    if answer is None:
        raise DemoError(f"recommend does not know customer {customer_id}")
    return answer
