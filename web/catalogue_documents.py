"""A whole catalogue over HTTP: GET /catalog/export, POST /catalog/import.

Rules:

1.  An import is all or nothing; the same document again changes nothing.
2.  Reading a large document takes seconds, in a thread; `IMPORTS_MAX` are read at once, others are refused.
    So are bodies that arrive beside `BODIES_MAX` others: `IMPORTS_MAX` of one tenant.
3.  An export is what this worker's snapshot has; API keys are never part of it. Writing one takes as long:
    `EXPORTS_MAX` are written at once, in threads of their own, one for a tenant; others are refused. One
    whose client has gone is not finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import ClassVar

from app.decision.index import EntityIndex
from app.decision.loading import DEPTH_MAX
from app.decision.refusals import Problem
from tables.catalogue_document import (
    PROBLEMS_MAX,
    CatalogueInvalidError,
    Document,
    document_from,
    read_document,
)
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportPlan, plan_import
from tables.catalogue_review import DiffBody, shown_diff
from tables.catalogue_yaml import SIZE_MAX
from web.access import Operation
from web.body import read_object
from web.editing import by, commit, preview, told_problems
from web.entity_operations import UNSCOPED_KINDS, export_operation, import_operation
from web.errors import forbidden, invalid, overloaded
from web.exporting import Exports, ExportsFullError, ExportUnreadError
from web.query import flag, given
from web.traffic import Places
from web.view import JSON, Answer, ApiView, Call, encode

YAML = "application/yaml"
YAML_TYPES = (YAML, "application/x-yaml", "text/yaml", "text/x-yaml", "application/vnd.yaml")

#: Documents that a worker reads at once: each may take some hundred MiB while it is read.
IMPORTS_MAX = 2
#: Documents that a worker writes at once.
EXPORTS_MAX = 2
#: What the metrics show of an export that nobody waits for any more.
_CLIENT_GONE = 499

#: Documents that arrive at once.
BODIES_MAX = 8


class CatalogueExportView(ApiView):
    """The tenant's catalogue as one document."""

    view_name = "catalogue-export"
    view_path = "/api/v1/catalog/export"
    operations: ClassVar[Mapping[str, Operation]] = {"GET": export_operation(YAML)}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._exports = Exports(EXPORTS_MAX)

    async def get(self, call: Call) -> Answer:
        as_yaml = _wants_yaml(call)
        entities = self.engine.catalogue().tenant(call.tenant_id).entities
        try:
            text = await self._exports.text(call.tenant_id, entities, as_yaml, lambda: call.gone)
        except ExportsFullError as error:
            raise overloaded() from error
        except ExportUnreadError:
            return Answer(b"", _CLIENT_GONE)
        return Answer(text, content_type=YAML if as_yaml else JSON)


class CatalogueImportView(ApiView):
    """Make the tenant's catalogue say what a document says."""

    view_name = "catalogue-import"
    view_path = "/api/v1/catalog/import"
    body_limit_bytes = SIZE_MAX
    operations: ClassVar[Mapping[str, Operation]] = {"POST": import_operation((JSON, *YAML_TYPES), DiffBody)}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._under_way = 0
        self.places = Places(IMPORTS_MAX, BODIES_MAX)

    async def post(self, call: Call) -> Answer:
        if self._under_way >= IMPORTS_MAX:
            raise overloaded()
        self._under_way += 1
        try:
            return await self._post(call)
        finally:
            self._under_way -= 1

    async def _post(self, call: Call) -> Answer:
        problems: list[Problem] = []
        said = given(call, ("dryRun", "prune"), problems)
        dry_run, prune = flag(said, "dryRun", problems), flag(said, "prune", problems)
        if problems:
            raise invalid(problems)
        document = await _document(call, self.engine.catalogue().tenant(call.tenant_id))
        tenant_id, who = call.tenant_id, by(call)

        def plan(current: TenantLog, now: datetime) -> ImportPlan:
            planned = plan_import(tenant_id, current, document.entries, who, now, prune)
            _check_scopes(call, planned)
            return planned

        change = preview if dry_run else commit
        done = await change(self.engine, call, plan)
        return Answer(await asyncio.to_thread(encode, shown_diff(done.diff, dry_run)))


def _check_scopes(call: Call, planned: ImportPlan) -> None:
    """Raises ApiError, 403, for what a key narrowed to scopes may not change one by one either."""
    changed = sorted({kind for kind, _ in planned.changes} & UNSCOPED_KINDS)
    if changed and call.caller.scopes:
        raise forbidden(f"This document changes {', '.join(changed)}, which takes a key without scopes.")


async def _document(call: Call, held: EntityIndex) -> Document:
    """The body's document, of the caller's tenant, which has `held`."""
    try:
        document = await asyncio.to_thread(_read, call)
    except CatalogueInvalidError as error:
        problems = list(error.problems)
        if error.beside is not None:
            # What this worker knows will do: nothing is written, this only tells all at once.
            more = islice(error.beside.problems(held), PROBLEMS_MAX - len(problems))
            problems += await asyncio.to_thread(list, more)
        raise invalid(told_problems(problems)) from error
    if document.tenant_id not in (None, call.tenant_id):
        message = f"is {document.tenant_id}, and yours is {call.tenant_id}: change it or leave it out"
        raise invalid((Problem("tenant", message),))
    return document


def _read(call: Call) -> Document:
    said = call.headers.get("Content-Type", JSON).partition(";")[0].strip().lower()
    if said in YAML_TYPES:
        return read_document(call.body)
    return document_from(read_object(call.body, DEPTH_MAX))


def _wants_yaml(call: Call) -> bool:
    """Whether `format`, or without one `Accept`, asks for YAML."""
    problems: list[Problem] = []
    form = given(call, ("format",), problems).get("format")
    if form is not None and form not in ("json", "yaml"):
        problems.append(Problem("format", "must be json or yaml"))
    if problems:
        raise invalid(problems)
    if form is not None:
        return form == "yaml"
    accepted = [part.partition(";")[0].strip() for part in call.headers.get("Accept", "").split(",")]
    return JSON not in accepted and any(kind in YAML_TYPES for kind in accepted)
