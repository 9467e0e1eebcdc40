"""Recommend with an idempotency key: the same answer for ten minutes, of one decision.

Rules:

1.  Calls with the same key take turns from looking for an earlier call until this one's answer is promised,
    room in the quota included: two calls with the same key at the same time make one decision, and take one
    place of the quota, and the second waits for what the first gets.
2.  What is remembered is what the log has. An answer is given again from the state, once its decision is
    folded; before that, from its promise beside the decision's overlay, which goes when the overlay goes.
3.  A call that certainly left no decision is not remembered. Of one that ended PENDING nobody knows: neither
    does who asks again, until a fold has told.
4.  The key stands for the call, not for its body: another body with the same key gets the same answer.
"""

from __future__ import annotations

import asyncio

from app.decision.catalogue import CatalogSnapshot, TenantCatalogue
from app.decision.idempotency import answer_hash
from app.decision.state import ANSWER_WINDOW_MS
from tables.answers import find_answer
from tables.layout import customer_key
from tables.overlays import Promise
from tables.standby import Standby
from web.deciding import RETRY_WITH_KEY, log_decision, make_decision
from web.engine import Engine
from web.errors import ApiError, pending
from web.idempotency_key import given_key
from web.recommend_answer import render
from web.recommend_body import RecommendBody, Wanted, read_recommend, wanted_of
from web.routing import Lease, lease_customer
from web.turns import Turn
from web.underway import Remember, Underway
from web.view import Call

_UNKNOWN = f"What became of the first call with this key is not known yet. {RETRY_WITH_KEY}"


async def answer_once(engine: Engine, call: Call, snapshot: CatalogSnapshot) -> bytes:
    """The body of the answer to a call with an idempotency key: the one it was given before, if it was.

    Raises:
        ApiError: as of recommend; 503 PENDING while the fate of an earlier call with the key is not known.
    """
    tenant_id = call.tenant_id
    body, customer_id, key_hash = _read(call, snapshot.tenant(tenant_id))
    lease = lease_customer(engine, tenant_id, customer_id)
    with await _turn(engine, lease, key_hash) as turn:
        # Waiting for the turn may have taken a while.
        lease.check()
        earlier = _earlier(engine, lease, key_hash)
        if earlier is None:
            catalogue = snapshot.tenant(tenant_id)
            wanted = wanted_of(body, [], catalogue)
            alias = engine.settings.recommendations_alias
            remember = Remember(key_hash, lambda made: render(made, customer_id, wanted.debug, None, alias))
            async with engine.quota.slot(tenant_id, catalogue.settings.quota_per_month) as slot:
                lease.check()
                made = make_decision(engine, lease, snapshot, tenant_id, wanted, remember)
                # Its answer is promised: the others find that.
                turn.end()
                answer = await _first(engine, lease, made, catalogue, wanted)
                slot.logged = made.counts
                return answer
    return await _given(engine, lease, earlier)


def copied_answer(engine: Engine, call: Call, copy: Standby) -> bytes | None:
    """The answer that a standby knows under the call's key; None when it knows none, or the call has no key.

    Raises:
        ApiError: 400 when the call is not as it must be.
    """
    _, customer_id, key_hash = _read(call, engine.catalogue().tenant(call.tenant_id))
    customer = customer_key(call.tenant_id, customer_id)
    return find_answer(copy.store.get, customer, key_hash, engine.clock_ms())


async def _turn(engine: Engine, lease: Lease, key_hash: int) -> Turn:
    """This call's turn among those with its key.

    Raises:
        ApiError: 503 PENDING when the others do not come to an end.
    """
    try:
        return await engine.turns.take((lease.key, key_hash), _patience_s(engine))
    except TimeoutError as error:
        engine.metrics.idempotent_answers_total.labels("wait_expired").inc()
        raise pending(_UNKNOWN) from error


def _patience_s(engine: Engine) -> float:
    """How long to wait for an earlier call with the key, in seconds."""
    return (engine.settings.publish_timeout_ms + engine.settings.read_your_writes_timeout_ms) / 1000


def _read(call: Call, catalogue: TenantCatalogue) -> tuple[RecommendBody, str, int]:
    """The body, its customer, and the hash of the key's scope. Names are not looked up yet.

    Raises:
        ApiError: 400 with every bad field.
    """
    body, problems = read_recommend(call.body)
    key = given_key(call.headers, problems)
    if problems or key is None or body.customer_id is None:
        # Says what is wrong with the names too.
        wanted_of(body, problems, catalogue)
        raise AssertionError("a call without customer or key was accepted")
    return body, body.customer_id, answer_hash(call.tenant_id, body.customer_id, key)


def _earlier(engine: Engine, lease: Lease, key_hash: int) -> Promise | bytes | None:
    """What an earlier call with the key was promised or given; None when there was none."""
    promise = _promised(engine, lease, key_hash)
    return promise or lease.partition.answers.find(lease.key, key_hash, engine.clock_ms())


async def _given(engine: Engine, lease: Lease, earlier: Promise | bytes) -> bytes:
    """The answer of an earlier call."""
    if isinstance(earlier, Promise):
        return await _shared(engine, lease, earlier)
    engine.metrics.idempotent_answers_total.labels("replayed").inc()
    return earlier


def _promised(engine: Engine, lease: Lease, key_hash: int) -> Promise | None:
    """What is promised to a key by a decision that is not folded yet."""
    since_ms = engine.clock_ms() - ANSWER_WINDOW_MS
    for overlay in reversed(lease.partition.overlays.of(lease.key)):
        promise = overlay.promise
        if promise is not None and promise.key_hash == key_hash and overlay.recommendation.at_ms > since_ms:
            return promise
    return None


async def _shared(engine: Engine, lease: Lease, promise: Promise) -> bytes:
    """What the first call with the key is answered."""
    total = engine.metrics.idempotent_answers_total
    try:
        async with asyncio.timeout(_patience_s(engine)):
            answer = await asyncio.shield(promise.given)
    except TimeoutError as error:
        total.labels("wait_expired").inc()
        raise pending(_UNKNOWN) from error
    lease.check()
    total.labels("shared").inc()
    return answer


async def _first(
    engine: Engine, lease: Lease, made: Underway, catalogue: TenantCatalogue, wanted: Wanted
) -> bytes:
    """The answer of the call that decided; keeps its promise, come what may."""
    promise = made.promise
    if promise is None:
        raise AssertionError("a decision with a key promises its answer")
    try:
        lacks = await log_decision(engine, lease, made, catalogue)
    except ApiError as error:
        _break(promise, error)
        raise
    except BaseException:
        # Stopped half-way: the record may be on Kafka.
        _break(promise, pending(_UNKNOWN))
        raise
    answer = made.answer if lacks is None else None
    if answer is None:
        answer = render(made, wanted.customer_id, wanted.debug, lacks, engine.settings.recommendations_alias)
    promise.given.set_result(answer)
    return answer


def _break(promise: Promise, error: ApiError) -> None:
    promise.given.set_exception(error)
    # Often nobody asks again: then it must not be logged as an error that nobody saw.
    promise.given.exception()
