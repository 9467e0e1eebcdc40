"""Requests made from the OpenAPI document by schemathesis, and what their answers must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from web.openapi.operations import LINES_TYPES

Case = schemathesis.Case[Any]
Operation = schemathesis.APIOperation[Any, Any, Any, Any]

#: What a worker may answer at any time, for a while, and says so.
UNAVAILABLE = 503

_CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
#: Reading first, so that there is something to read; deleting last; what sets the tenant's limits after all.
_ORDER = ("get", "post", "put", "patch", "delete")
_AT_THE_END = "/api/v1/tenant-settings"


class Known(NamedTuple):
    """What is there: values for variables in paths, by the path's beginning."""

    path: str
    values: Mapping[str, str]


class Failure(NamedTuple):
    """A request whose answer is not as the document says."""

    request: str
    problem: str


@schemathesis.serializer(*LINES_TYPES)
def _lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return str(value).encode()


def ordered(schema: schemathesis.BaseSchema) -> list[Operation]:
    """Every operation, each after what it may destroy the ground of."""
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    return sorted(found, key=lambda one: (one.path.startswith(_AT_THE_END), _ORDER.index(one.method.lower())))


def failures_of(
    operation: Operation,
    call: Callable[[Case], schemathesis.Response],
    known: Mapping[str, str],
    fields: Mapping[str, str | None],
    examples: int,
) -> Iterator[Failure]:
    """What answers to so many requests were not as the document says; half of them name what is there."""
    found: dict[str, Failure] = {}
    turn = iter(range(10**9))

    @hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def ask(case: Case) -> None:
        if next(turn) % 2:
            about_what_is_there(case, known, fields)
        response = call(case)
        try:
            if response.status_code != UNAVAILABLE:
                not_a_server_error_check(case, response)
            case.validate_response(response, checks=_CHECKS)
        except BaseExceptionGroup as several:
            for one in several.exceptions:
                found.setdefault(str(one), Failure(case.as_curl_command(), str(one)))

    ask()
    yield from found.values()


def about_what_is_there(case: Case, known: Mapping[str, str], fields: Mapping[str, str | None]) -> None:
    """Let a request name what is there, in its path, its query and its body."""
    if case.path_parameters:
        case.path_parameters = {**case.path_parameters, **known}
    if isinstance(case.body, MutableMapping) and case.path.endswith(("/respond", "/capture")):
        # By itself it would hardly ever say both a key and a target.
        case.body |= {"idempotencyKey": "", "offerId": ""}
    for said in (case.query, case.headers, case.body):
        if isinstance(said, MutableMapping):
            for name in fields.keys() & said.keys():
                if (value := fields[name]) is None:
                    del said[name]
                else:
                    said[name] = value


def not_a_server_error_check(case: Case, response: schemathesis.Response) -> None:
    """Raises when the server failed."""
    case.validate_response(response, checks=[not_a_server_error])
