"""/api-keys: an admin's view of the tenant's keys; issuing, rotating and revoking them.

Rules:

1.  The key itself is in the answer that issues it and nowhere else; what recognises it is in none.
2.  Only a key without scopes may do any of this: a narrowed one could widen itself.
3.  A key may end itself: whoever ends the tenant's last admin's key makes the next on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import msgspec

from app.decision.entities import ApiKey, Credential, Entity
from app.decision.refusals import Problem
from tables.api_key_changes import OVERLAP_MS, rotated
from tables.api_keys import IssuedKey, issue_key, pepper_mark
from tables.catalogue_edit import Draft, EditRefusedError, plan_create, plan_replace
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportPlan
from web.access import LIMIT, NO_AREA, OFFSET, Operation, Role
from web.api_key_body import IssuedKeyBody, KeyBody, KeyFields, KeyList, RotateBody, issued_body, key_body
from web.body import BodyType
from web.editing import by, commit
from web.engine import Engine
from web.entities import EntitiesView, EntityView, KindView
from web.entity_body import read_expected, read_new, read_replacement
from web.entity_operations import ARCHIVED, STATUS, VERSION
from web.errors import conflict, invalid
from web.instants import instant, iso_ms
from web.view import Answer, Call, encode

KIND = "api-keys"

_rotate_body = BodyType(RotateBody)


class KeyView(KindView):
    """How keys are shown, in lists and one by one."""

    kind = KIND

    def shown(self, call: Call, entity: Entity) -> KeyBody:
        """The key without what recognises it, and with when it was used last."""
        assert isinstance(entity, ApiKey)
        used_ms = self.engine.key_uses.last_ms(call.tenant_id, entity.id)
        pepper = self.engine.settings.api_key_pepper
        own_pepper = None if pepper is None else pepper_mark(pepper.reveal())
        return key_body(entity, None if used_ms is None else iso_ms(used_ms), own_pepper)

    def issued(self, call: Call, entity: Entity | None, text: str, status: int) -> Answer:
        """The answer that shows a key this once."""
        answer = self.answer(call, entity, status)
        assert entity is not None, "an edit of one entity leaves one"
        answer.body = encode(issued_body(self.shown(call, entity), text))
        return answer


class ApiKeysView(KeyView, EntitiesView):
    """The tenant's keys, and new ones."""

    view_name = KIND
    view_path = "/api/v1/api-keys"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "List the tenant's keys, by id.",
            Role.ADMIN,
            NO_AREA,
            answer=KeyList,
            parameters=(LIMIT, OFFSET, STATUS, ARCHIVED),
        ),
        "POST": Operation(
            "Issue a key.",
            Role.ADMIN,
            NO_AREA,
            body=KeyFields,
            answer=IssuedKeyBody,
            statuses={201: "Issued; `apiKey` is shown this once."},
            headers=("ETag", "Location"),
            errors=(409,),
        ),
    }

    async def post(self, call: Call) -> Answer:
        draft = _own(self.engine, read_new(KIND, call.body, call.headers, by(call), self.beside(call)))
        issued = _issue(self.engine)
        draft = _with_credentials(draft, (issued.credential,))
        tenant_id, new_id = call.tenant_id, f"key_{self.engine.chance()}"
        made = await commit(
            self.engine, call, lambda current, now: plan_create(tenant_id, current, draft, new_id, now)
        )
        return self.issued(call, made.entity, issued.text, 201)


class ApiKeyView(KeyView, EntityView):
    """One key. Deleting revokes it for good; another status than active does too, and keeps it listed."""

    view_name = "api-key"
    view_path = "/api/v1/api-keys/{id:[^/]+}"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "One key, by id or key.", Role.ADMIN, NO_AREA, answer=KeyBody, errors=(404,), headers=("ETag",)
        ),
        "PUT": Operation(
            "Replace what a key is called and may; what opens stays the same.",
            Role.ADMIN,
            NO_AREA,
            body=KeyFields,
            answer=KeyBody,
            headers=("ETag",),
            parameters=(VERSION,),
            errors=(404, 409),
        ),
        "DELETE": Operation(
            "Revoke a key for good.",
            Role.ADMIN,
            NO_AREA,
            statuses={204: "Revoked: within a second on every worker."},
            parameters=(VERSION,),
            errors=(404, 409),
        ),
    }

    async def put(self, call: Call) -> Answer:
        tenant_id, reference = call.tenant_id, call.path["id"]
        draft, expected = read_replacement(KIND, call.body, call.headers, by(call), self.beside(call))
        said = _own(self.engine, draft)

        def plan(current: TenantLog, now: datetime) -> ImportPlan:
            held = _held(current, reference)
            changed = said if held is None else _with_credentials(said, held.credentials)
            return plan_replace(tenant_id, current, changed, reference, expected, now)

        made = await commit(self.engine, call, plan)
        return self.answer(call, made.entity, 200)


class RotateKeyView(KeyView):
    """A new key under the same id, in place of one that goes on for a while."""

    view_name = "api-key-rotate"
    view_path = "/api/v1/api-keys/{id:[^/]+}/rotate"
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "Issue a new key in place of this one, which goes on for a while.",
            Role.ADMIN,
            NO_AREA,
            body=RotateBody,
            answer=IssuedKeyBody,
            statuses={200: "Issued; `apiKey` is shown this once."},
            headers=("ETag",),
            parameters=(VERSION,),
            errors=(404, 409),
        )
    }

    async def post(self, call: Call) -> Answer:
        said, problems = _rotate_body.read(call.body)
        if problems:
            raise invalid(problems)
        expected = read_expected(call.headers)
        overlap_ms = OVERLAP_MS if said.overlap_ms is None else said.overlap_ms
        issued = _issue(self.engine)
        tenant_id, reference, who = call.tenant_id, call.path["id"], by(call)

        def plan(current: TenantLog, now: datetime) -> ImportPlan:
            held = _held(current, reference)
            if held is None:
                raise EditRefusedError("unknown", f"There is no {reference[:128]} among the {KIND}.")
            if held.status != "active":
                raise EditRefusedError("conflict", f"This key is {held.status}: it opens nothing.")
            changed = Draft(kind=KIND, entity=rotated(held, issued.credential, now, overlap_ms), by=who)
            return plan_replace(tenant_id, current, changed, reference, expected, now)

        made = await commit(self.engine, call, plan)
        return self.issued(call, made.entity, issued.text, 200)


def _held(current: TenantLog, reference: str) -> ApiKey | None:
    """The key that this id or key names."""
    keys = [one for one in current.entities.values() if isinstance(one, ApiKey)]
    named = [one for one in keys if one.id == reference] or [one for one in keys if one.key == reference]
    return named[0] if named else None


def _own(engine: Engine, draft: Draft) -> Draft:
    """The draft, if its document says nothing that is the server's, and the key has not ended yet.

    Raises:
        ApiError: 400 when it does or has.
    """
    key, problems = draft.entity, []
    assert isinstance(key, ApiKey)
    if key.credentials:
        problems.append(Problem("credentials", "is the server's: POST issues a key, /rotate a new one"))
    if key.expires_at is not None and key.expires_at <= instant(engine.clock_ms()):
        problems.append(Problem("expiresAt", "is in the past: DELETE ends a key at once"))
    if problems:
        raise invalid(problems)
    return draft


def _with_credentials(draft: Draft, credentials: tuple[Credential, ...]) -> Draft:
    entity = draft.entity
    assert isinstance(entity, ApiKey)
    return msgspec.structs.replace(draft, entity=msgspec.structs.replace(entity, credentials=credentials))


def _issue(engine: Engine) -> IssuedKey:
    if engine.settings.api_key_pepper is None:
        raise conflict(
            "This worker has no pepper (API_KEY_PEPPER) to store keys under; set one and restart it."
        )
    return issue_key(engine.settings.pepper())
