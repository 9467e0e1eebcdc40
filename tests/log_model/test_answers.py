"""What counts as answered in the model: without that, its oracle checks nothing that clients were told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.metrics import new_metrics
from config.topics import DECISIONS
from tests.log_model.clients import Fault
from tests.log_model.oracle import Oracle
from tests.log_model.shop import CUSTOMERS, PUSHES, TOPICS, home_of
from tests.log_model.world import World

CUSTOMER = CUSTOMERS[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, new_metrics(), batch_bytes=1_000_000)
    world.drain()
    yield world
    world.close()


def _asked(
    world: World, times: int, traced: bool = False, fault: Fault | None = None
) -> list[tuple[int, bool]]:
    """Pushes, and whether on the log, of what was answered after asking so often."""
    worker = world.workers[world.assignment[home_of(CUSTOMER)]]
    before = len(worker.answers)
    if fault is not None:
        worker.network.arm(fault, 0, (TOPICS[DECISIONS],))
    for _ in range(times):
        worker.recommend(CUSTOMER, traced)
    # A caller waits so long for the fold that keeps its trace.
    world.settle(10)
    return [(answer.pushes, answer.logged) for answer in worker.answers[before:]]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        (None, [(1, True)]),
        (Fault.REFUSED, []),
        (Fault.LOST, []),
        (Fault.UNHEARD, []),
    ],
)
def test_a_push_is_answered_when_the_log_has_it(
    world: World, fault: Fault | None, traced: bool, answered: list[tuple[int, bool]]
) -> None:
    assert _asked(world, 1, traced, fault) == answered
    Oracle(world).check()


@pytest.mark.parametrize(
    ("fault", "answered"),
    [(None, [(0, True)]), (Fault.REFUSED, [(0, False)]), (Fault.LOST, [(0, False)])],
)
def test_nothing_to_send_is_answered_without_the_log(
    world: World, fault: Fault | None, answered: list[tuple[int, bool]]
) -> None:
    assert _asked(world, PUSHES) == [(1, True)] * PUSHES
    assert _asked(world, 1, True, fault) == answered
    Oracle(world).check()


def test_an_answered_decision_that_the_owner_does_not_know_is_found(world: World) -> None:
    """Losing it by hand: no failure that the model knows does."""
    _asked(world, 1)
    found = world.owned(home_of(CUSTOMER))
    assert found is not None
    found[1].overlays.clear()
    with pytest.raises(AssertionError, match="the owner knows"):
        Oracle(world).check()
