"""Changing the catalogue for a request: by the one worker that writes it; failures as the contract says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from app.decision.problems import Problem as CatalogueProblem
from app.decision.refusals import Problem, first_problems
from tables.audit_actor import SANDBOX, Actor
from tables.catalogue_commit import CatalogueTooLargeError, CatalogueWriteError
from tables.catalogue_desk import DeskFullError, DeskUnseenError, Plan
from tables.catalogue_document import CatalogueInvalidError
from tables.catalogue_edit import EditRefusedError
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportPlan
from tables.catalogue_topic import CatalogueReadError
from web.engine import Engine
from web.errors import ApiError, invalid, not_found, not_ready, overloaded, pending
from web.routing import lease_partition
from web.view import Call

#: Whose owner writes catalogues.
WRITING_PARTITION = 0
_PENDING = "The change may hold already: read what is there before you send it again."


def actor(call: Call) -> Actor:
    """Who calls, for the audit trail and `createdBy`."""
    caller = call.caller
    return SANDBOX if caller.key_id is None else Actor(caller.key_id, caller.actor)


def by(call: Call) -> str:
    """Who calls, as `createdBy` says it."""
    return actor(call).name or actor(call).id


async def commit(engine: Engine, call: Call, plan: Plan) -> ImportPlan:
    """What was done, once this worker's snapshot has it; the diff's `version` is None when nothing was.

    Raises:
        ElsewhereError: another worker writes the catalogue; nothing was done.
        ApiError: the change is refused, cannot be made now, or may hold already (503 PENDING).
    """
    lease_partition(engine, WRITING_PARTITION)
    kept = _Kept(plan)
    try:
        diff = await engine.desk.commit(call.tenant_id, kept, actor(call), request_id=call.request_id)
    except _FAILURES as error:
        raise _told(error) from error
    return msgspec.structs.replace(kept.last, diff=diff)


async def preview(engine: Engine, call: Call, plan: Plan) -> ImportPlan:
    """What `commit` would do now; any worker can tell.

    Raises:
        ApiError: as `commit` would be refused, or the present state cannot be read.
    """
    kept = _Kept(plan)
    try:
        await engine.desk.preview(call.tenant_id, kept)
    except _FAILURES as error:
        raise _told(error) from error
    return kept.last


class _Kept:
    """A plan that keeps what it last planned: the desk may have to plan more than once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.last: ImportPlan

    def __call__(self, current: TenantLog, now: datetime) -> ImportPlan:
        self.last = self._plan(current, now)
        return self.last


_FAILURES = (
    EditRefusedError,
    CatalogueInvalidError,
    DeskFullError,
    DeskUnseenError,
    CatalogueReadError,
    CatalogueWriteError,
)


def _told(error: Exception) -> ApiError:
    """The failure as the caller is told it."""
    if isinstance(error, EditRefusedError):
        return _refused(error)
    if isinstance(error, CatalogueInvalidError):
        return invalid(told_problems(error.problems))
    if isinstance(error, DeskFullError):
        return overloaded()
    if isinstance(error, CatalogueTooLargeError):
        message = "The brokers do not take so much at once; nothing was changed. Import it in parts."
        return ApiError(413, "PAYLOAD_TOO_LARGE", message)
    if isinstance(error, CatalogueReadError) or (isinstance(error, CatalogueWriteError) and error.certain):
        return not_ready("The catalogue cannot be changed now, and nothing was; retry.")
    return pending(_PENDING)


def _refused(error: EditRefusedError) -> ApiError:
    problems = told_problems(error.problems)
    if error.reason == "unknown":
        return not_found(error.message)
    if error.reason == "invalid":
        return invalid(problems)
    return ApiError(409, "CONFLICT", error.message, first_problems(problems))


def told_problems(problems: Sequence[CatalogueProblem]) -> list[Problem]:
    """The catalogue's problems as requests name theirs."""
    return [Problem(one.path, one.message) for one in problems]
