"""The schedule follows from the seed alone, and keeps its promises."""

from __future__ import annotations

import pytest

from tests.stress.schedule import KINDS, NODE_KINDS, QUIET_S, TAIL_S, Fault, plan


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_gives_the_same_schedule(seed: int) -> None:
    assert plan(seed, 5, 3, 3) == plan(seed, 5, 3, 3)
    assert plan(seed, 5, 3, 3) != plan(seed + 1, 5, 3, 3)


@pytest.mark.parametrize("nodes", [1, 3])
def test_no_target_has_two_faults_at_once_and_no_two_nodes_are_out(nodes: int) -> None:
    for seed in range(200):
        faults = plan(seed, 10, 3, nodes)
        for number, one in enumerate(faults):
            for other in faults[number + 1 :]:
                together = other.at_s < one.at_s + one.lasts_s
                nodes_both = one.kind in NODE_KINDS and other.kind in NODE_KINDS
                assert not (together and (nodes_both or one.who == other.who)), (seed, one, other)


def test_all_is_healed_before_the_end_and_some_phases_are_quiet() -> None:
    quiet = 0
    for seed in range(50):
        faults = plan(seed, 5, 3, 3)
        assert faults
        assert all(fault.at_s + fault.lasts_s <= 300 - TAIL_S for fault in faults)
        ends = [fault.at_s + fault.lasts_s for fault in faults]
        quiet += sum(
            later.at_s - max(ends[: number + 1]) > QUIET_S for number, later in enumerate(faults[1:])
        )
    assert quiet > 50


def test_every_kind_comes_and_only_those_asked_for() -> None:
    seen = {fault.kind for seed in range(50) for fault in plan(seed, 10, 3, 3)}
    assert seen == set(KINDS)
    assert {fault.kind for fault in plan(1, 10, 3, 3, ["kill", "stall"])} == {"kill", "stall"}
    assert plan(1, 10, 3, 3, []) == ()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="earthquake"):
        plan(1, 1, 2, 1, ["earthquake"])


def test_a_fault_is_told_in_a_line() -> None:
    assert str(Fault(8.0, "disk-slow", 1, 5.0, 20)) == (
        "   8.0 s  disk-slow    worker 1   5.0 s  20 ms a write"
    )
