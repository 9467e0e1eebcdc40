"""Whatever bytes arrive, the answer is JSON of the contract, never a 500."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.web.harness import HEADERS, Client, Worker, running

PATHS = (
    ("POST", "/api/v1/recommend"),
    ("POST", "/api/v1/respond"),
    ("POST", "/api/v1/capture"),
    ("POST", "/api/v1/events/ingest"),
    ("POST", "/api/v1/simulate"),
    ("PUT", "/api/v1/customers/ann"),
    ("PATCH", "/api/v1/customers/ann"),
)
#: What a request can come to here: Kafka is never there.
STATUSES = {200, 400, 404, 413, 415, 503}

NAMES = st.sampled_from(
    [
        *("customerId", "type", "data", "channel", "timestamp", "eventId", "sessionId", "limit", "maxOffers"),
        *("decisionFlowId", "blueprintKey", "channelId", "placement", "placements", "deduplicate", "debug"),
        *("attributes", "context", "excludeOffers", "trace", "outcome", "outcomeType", "interactionType"),
        *("recommendationId", "rank", "offerId", "creativeId", "traceId", "idempotencyKey", "target"),
        *("overrides", "offers", "creatives", "contactPolicies", "qualificationRules", "decisionFlow", "now"),
        *("id", "key", "kind", "config", "status", "scopes", "filters", "scoring", "customer"),
        *("conversionValue", "metadata", "tags", "consent", "timeZone", "locale", "tenantId", "x"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["ann", "purchase", "click", "vinyl", "vinyl-web", "web", "push", "hero", "flow", "open"]
    )
    | st.sampled_from(["2026-03-10T14:30:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner),
    max_leaves=12,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=12).map(lambda body: json.dumps(body).encode())
KNOWN = st.dictionaries(NAMES, VALUES, max_size=6).map(
    lambda body: json.dumps({**body, "customerId": "ann", "trace": True, "outcomeType": "click"}).encode()
)

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Served:
    """A worker and its client on a loop of their own, for tests that Hypothesis drives."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._loop = asyncio.new_event_loop()
        self._context = worker.client("fuzz")
        self._client: Client = self._loop.run_until_complete(self._context.__aenter__())

    def answer(self, method: str, path: str | URL, **request: Any) -> tuple[int, Any]:
        return self._loop.run_until_complete(self._answer(method, path, **request))

    def answer_any(self, method: str, path: str | URL, **request: Any) -> tuple[int, Any]:
        """As `answer`, of what may answer without a body: None then."""
        return self._loop.run_until_complete(self._answer_any(method, path, **request))

    async def _answer_any(self, method: str, path: str | URL, **request: Any) -> tuple[int, Any]:
        async with self._client.request(method, path, **request) as response:
            return response.status, await response.json() if await response.read() else None

    async def _answer(self, method: str, path: str | URL, **request: Any) -> tuple[int, Any]:
        async with self._client.request(method, path, **request) as response:
            assert response.content_type == "application/json"
            assert response.headers["X-Request-Id"]
            return response.status, await response.json()

    def close(self) -> None:
        self._loop.run_until_complete(self._context.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as worker:
        worker.know("ann")
        made = Served(worker)
        yield made
        made.close()


def check(served: Served, method: str, path: str, body: bytes) -> None:
    status, answer = served.answer(
        method, path, data=body, headers={**HEADERS, "Content-Type": "application/json"}
    )
    assert status in STATUSES, answer
    if status >= 400:
        assert set(answer) == {"error", "code", "details", "requestId"}
    if status == 400:
        assert answer["details"]


@pytest.mark.parametrize(("method", "path"), PATHS)
@FUZZ
@given(body=st.binary(max_size=200) | BODIES | KNOWN)
def test_any_body_gets_a_documented_answer(served: Served, method: str, path: str, body: bytes) -> None:
    check(served, method, path, body)


OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ["offers", "creatives", "contactPolicies", "qualificationRules"],
            st.lists(st.fixed_dictionaries({"id": LEAVES}, optional=dict.fromkeys(
                ["name", "status", "priority", "kind", "config", "scopes", "offerId", "content"], VALUES
            )), max_size=3),
        ),
        "decisionFlow": st.dictionaries(NAMES, VALUES, max_size=4),
    },
)  # fmt: skip


@FUZZ
@given(overrides=OVERRIDES, now=st.none() | st.datetimes().map(lambda at: at.isoformat() + "Z"))
def test_any_overrides_get_a_documented_answer(served: Served, overrides: object, now: str | None) -> None:
    body = json.dumps({"customerId": "ann", "overrides": overrides, "now": now}).encode()
    check(served, "POST", "/api/v1/simulate", body)


@FUZZ
@given(
    query=st.dictionaries(
        st.sampled_from(
            ["limit", "offset", "customerId", "channel", "placement", "decisionFlowId", "offerId"]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | LEAVES.map(str),
    )
)
def test_any_query_gets_a_documented_answer(served: Served, query: dict[str, str]) -> None:
    for path in ("/api/v1/decision-traces", "/api/v1/customers/ann/eligibility"):
        status, _ = served.answer("GET", URL(path).with_query(query), headers=HEADERS)
        assert status in (200, 400, 404)


@FUZZ
@given(tail=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_path_gets_a_documented_answer(served: Served, tail: str) -> None:
    for prefix in ("/api/v1/customers/", "/api/v1/decision-traces/", "/"):
        status, _ = served.answer("GET", URL(prefix).joinpath(tail.replace("/", "%2F")), headers=HEADERS)
        assert status in (200, 400, 404, 405)
