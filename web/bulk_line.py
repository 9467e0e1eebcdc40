"""One line of a bulk load: the body of PATCH /customers/{id}, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from app.decision.records import CustomerId
from app.decision.refusals import Problem, first_problems
from app.decision.shape import Shape
from web.body import BodyType
from web.customer_body import ProfileBody, ProfileRecord, checked_customer_id, profile_record
from web.errors import ApiError

#: A line, at most: what a PATCH may have unless a setting says otherwise.
LINE_MAX_BYTES = 262_144

#: Problems told of one line.
DETAILS_MAX = 5


class BulkLine(ProfileBody):
    """What a line says. With `replace` it is a PUT: what it does not name is forgotten."""

    shape: ClassVar[Shape] = Shape(
        required=("customerId",),
        types={**ProfileBody.shape.types, "customerId": CustomerId},
        example={"customerId": "C-1", "attributes": {"tier": "gold"}},
    )

    customer_id: str | None = None
    replace: bool = False


class Checked(NamedTuple):
    """What a line is: a record to write, or what is wrong with it, of whoever it names."""

    customer_id: str | None
    record: ProfileRecord | None
    problems: Sequence[Problem]


_line = BodyType(BulkLine)


def check_line(text: bytes | None, tenant_id: str) -> Checked:
    """What becomes of a line; None is one that is too long."""
    if text is None:
        return Checked(None, None, (Problem("", f"is longer than {LINE_MAX_BYTES} bytes"),))
    try:
        given, problems = _line.read(text)
    except ApiError as error:
        return Checked(None, None, error.problems)
    named = given.customer_id
    if named is None:
        if not any(problem.field == "customerId" for problem in problems):
            problems.append(Problem("customerId", "customerId is required"))
    else:
        problems.extend(_id_problems(named))
    record = profile_record(given, tenant_id, named or "", given.replace, problems)
    if problems:
        shown = None if named is None else named[:256]
        return Checked(shown, None, _told(problems))
    return Checked(named, record, ())


def _id_problems(customer_id: str) -> Sequence[Problem]:
    try:
        checked_customer_id(customer_id)
    except ApiError as error:
        return error.problems
    return ()


def _told(problems: Sequence[Problem]) -> Sequence[Problem]:
    if len(problems) <= DETAILS_MAX:
        return first_problems(problems)
    rest = Problem("", f"and {len(problems) - DETAILS_MAX + 1} more problems")
    return [*first_problems(problems[: DETAILS_MAX - 1]), rest]
