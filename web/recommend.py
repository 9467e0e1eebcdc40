"""POST /recommend: decide on the state and the decisions under way, log the decision, answer on its ack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from app.decision.contacts.reserving import counted_contacts
from app.decision.records import ShortText
from web.access import Operation, Parameter, Role, areas
from web.deciding import answered_without_log, decide_for, log_decision, make_decision, view_of
from web.engine import Engine
from web.idempotency_key import IDEMPOTENCY_KEY
from web.recommend_answer import RecommendAnswer, render
from web.recommend_body import RecommendBody, Wanted, read_wanted
from web.remembering import answer_once, copied_answer
from web.routing import lease_customer
from web.stale import STALE_STATE, assigned_of, standby_for, stored_customer
from web.underway import Underway
from web.view import Answer, ApiView, Call


class RecommendView(ApiView):
    """Answers what to offer a customer now."""

    view_name = "recommend"
    view_path = "/api/v1/recommend"
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "What to offer a customer now.",
            Role.VIEWER,
            areas("decide"),
            body=RecommendBody,
            answer=RecommendAnswer,
            statuses={200: "The decisions, best first; none is no error."},
            parameters=(
                Parameter(
                    IDEMPOTENCY_KEY, ShortText, "The same answer again, for ten minutes.", place="header"
                ),
            ),
            errors=(404,),
        )
    }

    async def post(self, call: Call) -> Answer:
        engine = self.engine
        snapshot = engine.catalogue()
        if IDEMPOTENCY_KEY in call.headers:
            return Answer(await answer_once(engine, call, snapshot))
        catalogue = snapshot.tenant(call.tenant_id)
        wanted = read_wanted(call.body, catalogue)
        lease = lease_customer(engine, call.tenant_id, wanted.customer_id)
        async with engine.quota.slot(call.tenant_id, catalogue.settings.quota_per_month) as slot:
            lease.check()
            made = make_decision(engine, lease, snapshot, call.tenant_id, wanted)
            degraded = await log_decision(engine, lease, made, catalogue)
            slot.logged = made.counts
        lease.check()
        return Answer(_rendered(engine, made, wanted, degraded))

    def stale(self, method: str, call: Call, partition: int) -> Answer | None:
        engine = self.engine
        copy = standby_for(engine, call, partition)
        if copy is None:
            return None
        given = copied_answer(engine, call, copy) if IDEMPOTENCY_KEY in call.headers else None
        if given is not None:
            return Answer(given)
        catalogue = engine.catalogue().tenant(call.tenant_id)
        wanted = read_wanted(call.body, catalogue)
        customer = stored_customer(copy, call.tenant_id, wanted.customer_id)
        if (quota := catalogue.settings.quota_per_month) is not None:
            engine.quota.check(call.tenant_id, quota)
        now_ms = engine.clock_ms()
        view = view_of(
            wanted.customer_id, customer, counted_contacts(customer, now_ms), assigned_of(customer)
        )
        made = decide_for(engine, catalogue, wanted, partition, view, now_ms)
        if not answered_without_log(made.decided, catalogue):
            return None
        return Answer(_rendered(engine, made, wanted, STALE_STATE))


def _rendered(engine: Engine, made: Underway, wanted: Wanted, degraded: str | None) -> bytes:
    return render(made, wanted.customer_id, wanted.debug, degraded, engine.settings.recommendations_alias)
