"""Whatever is sent as an entity, it is taken or refused; and what is taken can be decided with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.decision.entities import KINDS
from tests.web.catalogue_kinds import BY_KIND, CASES
from tests.web.harness import HEADERS, running
from tests.web.test_fuzz import VALUES, Served

FUZZ = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
JSON_HEADERS = {**HEADERS, "Content-Type": "application/json"}
API = "/api/v1"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A worker whose catalogue has an entity of each kind, with the id x1."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as worker:
        worker.know("ann")
        made = Served(worker)
        for case in CASES:
            for kind, body in (*case.needs, (case.kind, {"id": "x1", **case.least})):
                data = json.dumps(body).encode()
                status, answer = made.answer("POST", f"{API}/{kind}", data=data, headers=JSON_HEADERS)
                assert status in (201, 409), answer
        yield made
        made.close()


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """A body that is nearly right: some fields of a right one replaced, some of the kind's added."""
    case = BY_KIND[kind]
    body: dict[str, Any] = json.loads(json.dumps({**case.least, **case.changed, "status": "active"}))
    names = st.sampled_from([*KINDS[kind].__struct_encode_fields__, "x"])
    body |= draw(st.dictionaries(names, VALUES, max_size=2))
    if draw(st.booleans()):
        _replace_inside(draw, body)
    return body


def _replace_inside(draw: st.DrawFn, body: Any) -> None:
    """Replace one value somewhere inside."""
    while isinstance(body, dict | list) and body:
        at = draw(st.sampled_from(sorted(body) if isinstance(body, dict) else list(range(len(body)))))
        if draw(st.booleans()) or not isinstance(body[at], dict | list):
            body[at] = draw(VALUES)
            return
        body = body[at]


def check(served: Served, method: str, path: str, body: bytes) -> None:
    status, answer = served.answer(method, path, data=body, headers=JSON_HEADERS)
    assert status in (200, 201, 400, 404, 409), answer
    if status >= 400:
        assert answer["error"]
        return
    wanted = json.dumps({"customerId": "ann", "limit": 3, "debug": True}).encode()
    status, answer = served.answer("POST", f"{API}/simulate", data=wanted, headers=JSON_HEADERS)
    assert status in (200, 400, 404), answer


@pytest.mark.parametrize("kind", BY_KIND)
@FUZZ
@given(data=st.data())
def test_any_body_is_taken_or_refused(served: Served, kind: str, data: st.DataObject) -> None:
    body = json.dumps(data.draw(bodies(kind))).encode()
    check(served, "PUT", f"{API}/{kind}/x1", body)
    check(served, "POST", f"{API}/{kind}", body)


@pytest.mark.parametrize("kind", BY_KIND)
@FUZZ
@given(body=st.binary(max_size=100) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_taken_or_refused(served: Served, kind: str, body: bytes) -> None:
    check(served, "PUT", f"{API}/{kind}/x1", body)
    check(served, "POST", f"{API}/{kind}", body)


@FUZZ
@given(data=st.data(), query=st.sampled_from(["", "?dryRun=true", "?prune=true&dryRun=true"]))
def test_any_document_is_taken_or_refused(served: Served, data: st.DataObject, query: str) -> None:
    kinds = st.sampled_from([*BY_KIND, "tenant", "x"])
    document: dict[str, Any] = data.draw(st.dictionaries(kinds, VALUES, max_size=2))
    kind = data.draw(st.sampled_from(list(BY_KIND)))
    document[kind] = [{"id": "x1", **data.draw(bodies(kind))}]
    check(served, "POST", f"{API}/catalog/import{query}", json.dumps(document).encode())
