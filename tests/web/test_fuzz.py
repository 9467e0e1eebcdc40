"""Whatever bytes arrive, the answer is JSON of the contract, never a 500."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.web.harness import HEADERS, Client, Worker, running
from web.routes import VIEWS


def filled(path: str) -> str:
    """A view's path with something that is there, or might be, for each of its variables."""
    return re.sub(r"\{[^}:]+(?::[^}]+)?\}", "ann", path)


#: Every method of every path that takes a body: a view that is added is here by itself.
PATHS = tuple(
    (method, filled(view.view_path))
    for view in VIEWS
    for method, operation in view.operations.items()
    if method in ("POST", "PUT", "PATCH") and "application/json" in operation.body_types
)
#: Every path that is read, with the parameters it says it takes.
READ = tuple(
    (filled(view.view_path), tuple(one.name for one in view.operations["GET"].parameters))
    for view in VIEWS
    if "GET" in view.operations and "application/json" in view.operations["GET"].answer_types
)
#: What a request can come to here: Kafka is never there.
STATUSES = {200, 201, 202, 400, 404, 409, 413, 415, 503}

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


#: JSON that is almost sound, or sound and strange.
STRANGE = st.sampled_from(
    [
        *(
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"-",
            b"01",
            b"1e999",
            b"-0",
            b"9" * 4_000,
            b"0." + b"1" * 4_000,
        ),
        *(
            b'"\\ud800"',
            b'"\\udc00\\ud800"',
            b'"\\u0000"',
            b'"\\x"',
            b'"\xff"',
            b'"\xed\xa0\x80"',
            b'"a',
            b"'a'",
        ),
        *(
            b"[" * 70 + b"]" * 70,
            b'{"x":' * 70 + b"1" + b"}" * 70,
            b"[" * 20_000,
            b"[" + b"1," * 9_999 + b"1]",
        ),
        *(
            b"{" + b",".join(b'"k%d":1' % i for i in range(2_000)) + b"}",
            b'{"a":1,"a":2}',
            b'{"a":{"b":1,"b":1}}',
        ),
        *(
            b"1 2",
            b"{}{}",
            b"/**/1",
            b"1,",
            b"[1,]",
            b'{"a":1,}',
            b"{1:2}",
            b"True",
            b"\xef\xbb\xbf1",
            b"\x00",
            b"",
        ),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A plausible body of which some values are strange, or some bytes others."""
    fields = draw(
        st.lists(st.tuples(NAMES, STRANGE | VALUES.map(lambda one: json.dumps(one).encode())), max_size=6)
    )
    fields.append(("customerId", draw(st.just(b'"ann"') | STRANGE)))
    body = b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields) + b"}"
    if draw(st.booleans()):
        return body
    at = draw(st.integers(0, len(body)))
    return body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]


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
@given(body=st.binary(max_size=200) | BODIES | KNOWN | mutated())
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


#: What a query's values can be, percent-encoded or not.
RAW_VALUES = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(quote)
    | LEAVES.map(lambda one: quote(str(one), errors="replace"))
    | st.binary(max_size=8).map(quote)
    | st.sampled_from(["%", "%zz", "%00", "%ff", "%ED%A0%80", "+", "&", "=", ";", "#", "[]", "%2", "9" * 400])
)


@pytest.mark.parametrize(("path", "names"), READ)
@FUZZ
@given(data=st.data())
def test_any_query_gets_a_documented_answer(
    served: Served, path: str, names: tuple[str, ...], data: st.DataObject
) -> None:
    known = st.sampled_from([*names, "limit", "offset", "x"])
    pairs = data.draw(st.lists(st.tuples(known, RAW_VALUES), max_size=5))
    target = path + "?" + "&".join(f"{name}={value}" for name, value in pairs)
    status, answer = served.answer("GET", URL(target, encoded=True), headers=HEADERS)
    assert status in (200, 400, 404, 503), answer


@FUZZ
@given(
    tail=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300).map(quote) | RAW_VALUES
)
def test_any_path_gets_a_documented_answer(served: Served, tail: str) -> None:
    tail = re.sub("[?#/&]", "", tail)
    for prefix in ("/api/v1/customers/", "/api/v1/decision-traces/", "/api/v1/experiments/", "/"):
        status, _ = served.answer("GET", URL(prefix + tail, encoded=True), headers=HEADERS)
        assert status in (200, 400, 404, 405, 503)


@FUZZ
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                *(
                    "X-Tenant-Id",
                    "X-API-Key",
                    "Authorization",
                    "X-Request-Id",
                    "Content-Type",
                    "Content-Encoding",
                ),
                *("Idempotency-Key", "If-Match", "Origin", "Accept", "X-Requested-With", "Cookie", "Range"),
                *("X-Offertide-Forwarded-By", "X-Offertide-Vouched", "Access-Control-Request-Method"),
            ]
        ),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300)
        | st.sampled_from(["shop", "Bearer ", "bearer otk_", "gzip", "br", "a/b; c=d", "*", "offertide x"]),
    ),
    method=st.sampled_from(["GET", "PUT", "OPTIONS", "DELETE"]),
)
def test_any_headers_get_a_documented_answer(served: Served, headers: dict[str, str], method: str) -> None:
    body = b'{"attributes": {}}' if method == "PUT" else None
    status, answer = served.answer(method, "/api/v1/customers/ann", headers=headers, data=body)
    assert status in STATUSES | {202, 401, 403, 405}, answer
