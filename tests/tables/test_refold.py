"""The same log folded twice gives the same bytes, however it is cut into batches and whatever is reloaded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.contacts import appending, reserving, totals
from app.decision.erasing import erasure_id_of, forget, new_erasure
from app.decision.records import ProfileWrite, decode_profile
from app.decision.responses import unpark
from app.decision.scopes import Standing
from app.decision.state import Customer, Suppression
from tables.codec import changes_of, keys_of, load_customer, new_customer, settle
from tables.erased import fact_change
from tests.decision.building import NOW_MS
from tests.decision.folding import (
    Body,
    Folding,
    catalogue,
    decision,
    event,
    read,
    recommendation,
    response,
    target,
)

KEY = b"t:ann"
HOUR_MS = 3_600_000


class Erased(msgspec.Struct, frozen=True):
    """An erasure in a log."""


class Step(msgspec.Struct, frozen=True):
    """One record, what the clock says at its fold, and whether it ends a batch in each of two cuts."""

    body: Body | Erased
    later_ms: int
    ends: tuple[bool, bool]


def _decided(number: int, ranks: int, contact: bool, reserves: bool, placement: str | None) -> Body:
    shown = [[rank, "card", f"c{rank % 3}", "site", "cards", placement] for rank in range(1, ranks + 1)]
    return decision(
        number,
        shown=shown,
        contactRanks=list(range(1, ranks)) if contact else [],
        reserved=[[ranks, NOW_MS + 5 * HOUR_MS]] if reserves else [],
    )


def _responded(outcome: str, number: int, rank: int, key: int, age_ms: int, resolved: bool) -> Body:
    made = response(outcome, to=(number, rank), at_ms=NOW_MS - age_ms, idempotencyKey=f"k{key}")
    if resolved:
        made.target = target(
            outcome=outcome,
            recommendation_id=recommendation(number),
            rank=rank,
            contact=outcome == "impression",
            positive=outcome == "click",
        )
    return made


def _wrote(consent: dict[str, str], tags: list[str], replace: bool) -> Body:
    made = read(decode_profile, {"consent": consent, "tags": tags, "replace": replace})
    assert isinstance(made, ProfileWrite)
    return made


_NUMBERS = st.integers(0, 12)
_BODIES: st.SearchStrategy[Body] = st.one_of(
    st.builds(
        _decided,
        _NUMBERS,
        st.integers(1, 40),
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, "hero", "foot"]),
    ),
    st.builds(
        _responded,
        st.sampled_from(["impression", "impression", "click", "dismiss", "opt_out"]),
        _NUMBERS,
        st.integers(1, 3),
        st.integers(0, 30),
        st.one_of(st.integers(0, HOUR_MS), st.integers(0, 500 * 24 * HOUR_MS)),
        st.booleans(),
    ),
    st.builds(
        _wrote,
        st.dictionaries(
            st.sampled_from(["site", "mail", "all"]), st.sampled_from(["granted", "revoked"]), max_size=2
        ),
        st.lists(st.sampled_from(["a", "b"]), max_size=2),
        st.booleans(),
    ),
    st.integers(0, 20).map(lambda number: event(type="view", eventId=f"e{number}")),
)
_LOGS = st.lists(
    st.builds(
        Step,
        # An erasure now and then.
        st.integers(0, 20).flatmap(lambda n: st.just(Erased()) if n == 20 else _BODIES),
        st.sampled_from([0, 0, 1, 60_000, HOUR_MS]),
        st.tuples(st.booleans(), st.booleans()),
    ),
    min_size=30,
    max_size=80,
)


@settings(max_examples=100)
@given(log=_LOGS, most_totals=st.sampled_from([8, 200]))
def test_the_same_log_gives_the_same_bytes(log: list[Step], most_totals: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _bound(patch, most_totals)
        once = _stored(log, lambda step: step.ends[0], reload=False)
        again = _stored(log, lambda step: step.ends[1], reload=True)
        whole = _stored(log, lambda step: False, reload=False)
    assert once == again == whole


@settings(max_examples=100)
@given(log=_LOGS)
def test_after_an_erasure_the_state_is_that_of_what_came_after_it(log: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _bound(patch, 8)
        stored = _stored(
            [*log, Step(Erased(), 0, (False, False)), *log], lambda step: step.ends[0], reload=True
        )
        erasures = [at for at, step in enumerate(log) if isinstance(step.body, Erased)]
        last = log[max(erasures, default=-1) + 1 :]
        begun = NOW_MS + sum(step.later_ms for step in [*log, *log[: len(log) - len(last)]])
        after = _stored(
            last, lambda step: step.ends[1], reload=False, now_ms=begun, source=len(log) * 2 + 1 - len(last)
        )
    left = {key: value for key, value in stored.items() if key[:1] not in b"XY"}
    # Of a customer of whom nothing is known, an erased one has no head.
    assert left == (after if left else {key: after[key] for key in after if key[:1] != b"B"})


def _bound(patch: pytest.MonkeyPatch, most_totals: int) -> None:
    """Let short logs reach the bounds."""
    patch.setattr(appending, "CONTACT_MAX", 1)
    patch.setattr(totals, "TOTALS_MAX", most_totals)
    patch.setattr(totals, "TOTALS_KEPT", most_totals * 3 // 4)
    patch.setattr(reserving, "RESERVED_MAX", 3)
    patch.setattr(_TENANT, "suppressing_outcomes", frozenset({"dismiss"}))
    patch.setattr(type(_TENANT), "suppressions_of", _suppressions)


def test_such_logs_reach_every_part_of_the_state() -> None:
    """So that the test above compares something."""
    log = [Step(_decided(n, 8, True, n % 2 == 0, None), 60_000, (True, False)) for n in range(80)]
    log += [Step(_responded("click", 99, 1, 1, 0, False), 0, (False, False))]
    log += [Step(_responded("opt_out", 79, 1, 2, 0, False), 0, (False, False))]
    log += [Step(_responded("click", 79, 1, 2, 0, False), 0, (False, False))]
    log += [Step(_responded("dismiss", 78, 1, 3, 0, False), 0, (False, False))]
    with pytest.MonkeyPatch.context() as patch:
        _bound(patch, 8)
        customer = load_customer(KEY, _stored(log, lambda step: step.ends[0], reload=True).get)
    assert customer is not None
    assert all(
        (
            len(customer.contacts),
            len(customer.totals),
            customer.reserved,
            customer.suppressions,
            customer.credited,
            customer.parked,
            customer.profile,
            len(customer.recommendations),
            len(customer.seen),
        )
    )


def _stored(
    log: list[Step], ends: Callable[[Step], bool], reload: bool, now_ms: int = NOW_MS, source: int = 0
) -> dict[bytes, bytes]:
    """What the store holds in the end."""
    folding = Folding(_TENANT, now_ms, source)
    folding.customer = new_customer(KEY)
    store: dict[bytes, bytes] = {}
    for step in log:
        folding.now_ms += step.later_ms
        if isinstance(step.body, Erased):
            _erase(folding, store)
        else:
            folding.fold(step.body)
        unpark(folding.customer, folding.clock)
        if ends(step):
            _write(folding.customer, store)
            if reload:
                loaded = load_customer(KEY, store.get)
                assert loaded is not None
                folding.customer = loaded
    _write(folding.customer, store)
    return store


def _erase(folding: Folding, store: dict[bytes, bytes]) -> None:
    """As a partition does; what its batch deletes goes at once here."""
    folding.sources += 1
    for key in keys_of(folding.customer):
        store.pop(key, None)
    erasure_id = erasure_id_of(0, folding.now_ms, 0, folding.sources)
    erasure = new_erasure(folding.customer, erasure_id, folding.now_ms, folding.now_ms)
    key, value = fact_change(folding.customer, erasure)
    store[key] = value
    forget(folding.customer, erasure)


def _write(customer: Customer, store: dict[bytes, bytes]) -> None:
    for key, value in changes_of(customer):
        if value is None:
            store.pop(key, None)
        else:
            store[key] = value
    settle(customer)


def _suppressions(_: object, outcome: str, standing: Standing, at_ms: int) -> tuple[Suppression, ...]:
    one = Suppression(f"s{at_ms}", "pol", "offer", standing.offer_id, outcome, at_ms, at_ms + 9 * HOUR_MS)
    return (one,)


_TENANT = catalogue()
