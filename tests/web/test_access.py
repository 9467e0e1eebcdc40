"""Every route of the contract with every kind of key: the route table is walked, so a new route is in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.web.harness import TENANT, Client, Worker, running
from tests.web.keyed import KEYED, give_key
from web.access import ANY_AREA, Area, Operation, Role
from web.routes import VIEWS
from web.view import ApiView, UndeclaredOperationError

_VARIABLE = re.compile(r"\{[^}]+\}")

#: What needs no key, the documents among it, and the catch-all of paths that are none.
OPEN = {
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/docs/{asset:[^/]+}",
    r"/{path:[\s\S]*}",
}


class Route(NamedTuple):
    """A method of a path, and what it says of itself."""

    method: str
    path: str
    operation: Operation

    @property
    def url(self) -> str:
        """A path that the route takes; what its variables name is not there."""
        return _VARIABLE.sub("nothing", self.path)


ROUTES = [
    Route(method, view.view_path, operation)
    for view in VIEWS
    if not view.operational
    for method, operation in view.operations.items()
]
routes = pytest.mark.parametrize("route", ROUTES, ids=[f"{one.method} {one.path}" for one in ROUTES])


#: One worker serves all: the table has hundreds of entries.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with running(tmp_path_factory.mktemp("keyed"), **KEYED) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with worker.client("keyed") as one:
        yield one


async def ask(client: Client, route: Route, headers: dict[str, str]) -> tuple[int, str]:
    """Status and code."""
    sent = {"Content-Type": route.operation.body_types[0], **headers}
    response = await client.request(route.method, route.url, data=b"{}", headers=sent)
    code = (await response.json()).get("code", "") if response.status >= 400 else ""
    return response.status, code


@routes
async def test_no_key_and_wrong_keys_are_401(client: Client, route: Route) -> None:
    refused = (401, "UNAUTHORIZED")
    assert await ask(client, route, {}) == refused
    assert await ask(client, route, {"X-Tenant-Id": TENANT}) == refused
    assert await ask(client, route, {"X-API-Key": "otk_abcdefghijkl_" + "x" * 43}) == refused
    assert await ask(client, route, {"Authorization": "Bearer nonsense"}) == refused


@routes
@pytest.mark.parametrize("role", list(Role))
async def test_a_role_may_what_it_and_those_below_may(
    worker: Worker, client: Client, route: Route, role: Role
) -> None:
    headers = give_key(worker, role.name.lower())
    status, code = await ask(client, route, headers)
    if role < route.operation.role:
        assert (status, code) == (403, "FORBIDDEN")
    else:
        assert status not in (401, 403, 405)
        assert status < 500 or code in ("NOT_READY", "PENDING", "OVERLOADED")


@routes
@pytest.mark.parametrize("area", sorted(ANY_AREA))
async def test_scopes_narrow_a_key(worker: Worker, client: Client, route: Route, area: Area) -> None:
    headers = give_key(worker, "admin", scopes=[area])
    status, _ = await ask(client, route, headers)
    assert (status == 403) is (area not in route.operation.areas)


@routes
async def test_another_tenants_key_is_refused_for_this_tenant(
    worker: Worker, client: Client, route: Route
) -> None:
    headers = {**give_key(worker, "admin", "other"), "X-Tenant-Id": TENANT}
    assert await ask(client, route, headers) == (403, "FORBIDDEN")


async def test_only_what_operators_look_at_is_open() -> None:
    assert {view.view_path for view in VIEWS if view.operational} <= OPEN


async def test_a_view_that_does_not_say_who_may_call_it_is_not_mounted(worker: Worker) -> None:
    class Silent(ApiView):
        view_path = "/api/v1/silent"
        engine = worker.engine

        async def get(self, call: object) -> None:
            """Never called."""

    with pytest.raises(UndeclaredOperationError):
        Silent(None, None)  # type: ignore[arg-type]
