"""The checker sees each kind of violation when it is planted, and nothing in a clean run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.stress.checks import CHECKS, check
from tests.stress.evidence import Disturbance, Evidence, Record, Stop
from tests.stress.history import Op
from tests.stress.planting import AWAY, FINAL, HOME, Ground, clean, state
from tests.stress.schedule import QUIET_S


def _violations(evidence: Evidence) -> dict[str, list[str]]:
    return {one.check: [each.what for each in one.violations] for one in check(evidence) if one.violations}


def test_a_clean_run_passes_and_every_check_looked_at_something() -> None:
    evidence = clean().evidence(FINAL)
    findings = check(evidence)
    assert [one.violations for one in findings] == [[]] * len(CHECKS)
    assert all(sum(one.looked_at.values()) > 0 for one in findings)


def _during(plant: Callable[[Ground], Any], final: dict[str, Any] | None = None) -> Evidence:
    ground = clean()
    plant(ground)
    return ground.evidence(final or FINAL)


def _lost_respond(ground: Ground) -> None:
    ground.respond("page", "k9", 404).status = 201


def _told_recorded_twice(ground: Ground) -> None:
    ground.respond("click", "k2", 201)


def _double_duplicate(ground: Ground) -> None:
    ground.ingest("e7", 0.0, "duplicate")


def _lost_produced(ground: Ground) -> None:
    op = next(op for op in ground.ops if op.kind == "produce")
    ground.ops[op.number] = replace(op, body={**op.body, "offset": 77})


def _lost_rekeyed(ground: Ground) -> None:
    [record] = ground.records["rekeyed", HOME]
    ground.records["rekeyed", HOME] = [replace(record, value=record.value.replace(b"1.0", b"1.5"))]  # type: ignore[union-attr]


def _fourth_push(ground: Ground) -> None:
    for number in range(3):
        ground.recommend(f"rec_p{number}", "push")


def _fourth_push_unlogged(ground: Ground) -> None:
    _fourth_push(ground)
    del ground.records["decisions", HOME][-1]
    ground.folded[HOME].pop()


def _third_impression(ground: Ground) -> None:
    ground.respond("impression", "k3")
    ground.recommend("rec_3", "web")


def _stale_count(ground: Ground) -> None:
    ground.ingest("e5", 0.0)
    ground.get({"a": 0, "b": 0}, purchases=1, clicks=1)


def _count_too_high(ground: Ground) -> None:
    ground.get({"a": 0, "b": 0}, purchases=4, clicks=1)


def _falling_count(ground: Ground) -> None:
    # Within the bounds both times: the produced purchases are never acknowledged as folded.
    ground.get({"a": 0, "b": 0}, purchases=2, clicks=1)


def _stale_profile(ground: Ground) -> None:
    ground.put(purchases=3, clicks=1)
    ground.get({"a": 0, "b": 0}, purchases=3, clicks=1)


def _own_write_not_seen(ground: Ground) -> None:
    op = ground.put(purchases=3, clicks=1)
    op.body = state({"a": 0, "b": 0}, purchases=3, clicks=1)


def _invented_value(ground: Ground) -> None:
    ground.get({"a": 999, "b": 0}, purchases=3, clicks=1)


def _forgotten_recommendation(ground: Ground) -> None:
    ground.respond("click", "k8", 404)


def _no_dead_letter(ground: Ground) -> None:
    del ground.records["dead-letters", HOME]


def _other_dead_letter(ground: Ground) -> None:
    [record] = ground.records["dead-letters", HOME]
    ground.records["dead-letters", HOME] = [replace(record, value=b"other bytes")]


def _unfounded_dead_letter(ground: Ground) -> None:
    header = {"offertide-origin": f"events/{HOME}/0".encode()}
    ground.records["dead-letters", HOME].append(Record(1, None, b"{}", 0, header))


def _internal_error(ground: Ground) -> None:
    ground.op("recommend", {}, 500, {"code": "INTERNAL_ERROR"})


def _unknown_503(ground: Ground) -> None:
    ground.op("recommend", {}, 503, "no JSON")


PLANTED: dict[str, tuple[Callable[[Ground], None], str, str]] = {
    "an acknowledged response is in no topic": (_lost_respond, "acknowledged writes", "not in its topic"),
    "recorded twice": (_told_recorded_twice, "acknowledged writes", "folded as ['duplicate']"),
    "no duplicate": (_double_duplicate, "acknowledged writes", "folded as ['recorded']"),
    "a produced record is gone": (_lost_produced, "acknowledged writes", "is not at"),
    "other bytes re-keyed": (_lost_rekeyed, "acknowledged writes", "was re-keyed as"),
    "a push too many": (_fourth_push, "push caps", "4 push decisions received"),
    "a push too many on the log": (_fourth_push, "push caps", "4 push decisions logged"),
    "a push too many, not logged": (_fourth_push_unlogged, "push caps", "4 push decisions received"),
    "an offer over its cap": (_third_impression, "web caps", "after 2 impressions"),
    "a count that lacks a write": (_stale_count, "reads", "purchases is 1"),
    "a count too high": (_count_too_high, "reads", "purchases is 4"),
    "a count that falls": (_falling_count, "reads", "purchases fell"),
    "an overwritten attribute": (_stale_profile, "reads", "no latest write"),
    "a PUT that does not see itself": (_own_write_not_seen, "reads", "no latest write"),
    "a value nobody wrote": (_invented_value, "reads", "attribute a is 999"),
    "a recommendation forgotten": (_forgotten_recommendation, "reads", "is not known"),
    "a dead letter missing": (_no_dead_letter, "dead letters", "has no dead letter"),
    "a dead letter of other bytes": (_other_dead_letter, "dead letters", "other bytes"),
    "a dead letter of a good record": (_unfounded_dead_letter, "dead letters", "was not made bad"),
    "a 500": (_internal_error, "liveness", "answered 500"),
    "a 503 without a code": (_unknown_503, "liveness", "answered 503"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_of_a_promise_is_seen(name: str) -> None:
    plant, where, what = PLANTED[name]
    found = _violations(_during(plant))
    assert any(what in each for each in found.get(where, ())), found


def _step(evidence: Evidence, number: int, **changes: Any) -> Evidence:
    steps = list(evidence.steps[HOME])
    steps[number] = replace(steps[number], **changes)
    return replace(evidence, steps={**evidence.steps, HOME: steps})


def test_gaps_overlaps_and_old_epochs_in_the_control_records_are_seen() -> None:
    evidence = clean().evidence(FINAL)
    last = evidence.steps[HOME][-1]
    [(topic, first, end)] = last.folded
    gap = _step(evidence, -1, folded=((topic, first + 1, end),))
    again = _step(evidence, -1, folded=((topic, first - 1, end),))
    wrong = _step(evidence, -1, positions={**last.positions, topic: 99})
    zombie = _step(evidence, 0, epoch=2)
    short = replace(evidence, steps={**evidence.steps, HOME: evidence.steps[HOME][:-1]})
    holes = replace(evidence, holes={HOME: 3})
    for broken, what in (
        (gap, "with a gap"),
        (again, "was folded again"),
        (wrong, "the control record says"),
        (zombie, "epoch 1 follows 2"),
        (short, "it ends at"),
        (holes, "are gone"),
    ):
        found = _violations(broken)["control records"]
        assert any(what in each for each in found), found


@pytest.mark.parametrize("field", ["purchases", "spend", "clicks", "attributes", "contacts"])
@pytest.mark.parametrize("which", ["states", "rebuilt_states"])
def test_a_final_state_that_the_topics_do_not_give_is_seen(field: str, which: str) -> None:
    wrong = copy.deepcopy(FINAL)
    if field == "contacts":
        wrong["contacts"]["byChannel"]["push"] = 2
    elif field == "attributes":
        wrong["attributes"]["a"] = 5
    else:
        wrong["metrics"][field] += 1
    evidence = clean().evidence(FINAL)
    setattr(evidence, which, {"c1": wrong})
    assert any(field in what for what in _violations(evidence)["final states"])


def test_a_customer_without_a_final_state_is_seen() -> None:
    evidence = replace(clean().evidence(FINAL), states={})
    assert _violations(evidence)["final states"] == ["c1: no final state was answered"]


def test_a_record_that_counted_twice_is_seen() -> None:
    wrong = state({"a": 0, "b": 0}, 4, 1, spend=5.0, contacts={"web": 1, "push": 1})
    assert len(_violations(clean().evidence(wrong))["final states"]) == 4


def test_stores_that_differ_are_seen() -> None:
    evidence = clean().evidence(FINAL)
    [store] = evidence.stores
    lacks = replace(store, values={key: value for key, value in store.values.items() if key != b"Z"})
    ahead = replace(store, offset=10_000, expected=None)
    contacts = {key: value.replace(b"offer-1", b"offer-2") for key, value in store.values.items()}
    other = replace(store, values=contacts, expected=contacts)
    for broken, what in ((lacks, "values differ"), (ahead, "does not have"), (other, "by the topics")):
        found = _violations(replace(evidence, stores=[broken]))["stores"]
        assert any(what in each for each in found), found


def _unanswered(number: int, at_s: float) -> Op:
    body = {"code": "NOT_READY"}
    return Op(number, "recommend", "c1", 0, at_s, 0, {}, at_s + 0.1, 503, body)


def test_silence_without_a_fault_is_seen_and_silence_in_a_fault_is_not() -> None:
    evidence = clean().evidence(FINAL)
    silent = [_unanswered(len(evidence.ops) + n, 100 + n / 10) for n in range(100)]
    evidence = replace(evidence, ops=[*evidence.ops, *silent], ended_s=110.0)
    assert any("requests succeeded" in what for what in _violations(evidence)["liveness"])
    fault = Disturbance("kill", "worker 0", 20.0, 110.0 - QUIET_S)
    assert _violations(replace(evidence, disturbances=[fault])) == {}


def test_what_does_not_come_back_is_seen() -> None:
    evidence = clean().evidence(FINAL)
    for broken, what in (
        (replace(evidence, ready_s={0: None}), "not ready in time"),
        (replace(evidence, stops=[Stop(0, 1.0, 41.0, -9)]), "code -9"),
        (replace(evidence, stops=[Stop(0, 1.0, 1.0, -15)]), "code -15"),
        (replace(evidence, stuck=["not folded"]), "not folded"),
    ):
        assert any(what in each for each in _violations(broken)["liveness"])


def test_a_record_in_the_wrong_place_does_not_count_there() -> None:
    evidence = clean().evidence(FINAL)
    assert [len(evidence.records["events", number]) for number in (HOME, AWAY)] == [3, 1]
