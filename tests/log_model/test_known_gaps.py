"""What the model found and the product does not survive yet."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config.metrics import new_metrics
from tests.log_model.clients import Fault
from tests.log_model.meant import Meant
from tests.log_model.oracle import Oracle
from tests.log_model.shop import CUSTOMERS, click, home_of, purchase
from tests.log_model.world import NAMES, STRIKES, World


@pytest.mark.parametrize(
    "wiped",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.xfail(
                strict=True,
                raises=AssertionError,
                reason="compaction drops the whole batch's value in favour of the torn one's",
            ),
        ),
    ],
)
def test_a_torn_batch_is_compacted_before_it_is_taken_back(tmp_path: Path, wiped: bool) -> None:
    """Taking back needs the values of before: from the store, since the log may not have them any more."""
    world = World(tmp_path, new_metrics(), batch_bytes=150)
    try:
        oracle = Oracle(world)
        customer = CUSTOMERS[0]
        number, now_ms = home_of(customer), world.loop.wall_ms()

        def fold_purchase() -> None:
            offset = world.produce("events", number, purchase(customer, now_ms, None))
            oracle.remember("events", number, offset, Meant("event", customer))
            world.loop.run(world.workers[NAMES[0]].deliver(number, 0, 1, 0))

        fold_purchase()
        world.settle()
        world.produce("responses", number, click(customer, now_ms, "k"))
        oracle.remember("responses", number, 0, Meant("click", customer, "k"))
        # The head of the customer lands, the control record behind it does not.
        world.workers[NAMES[0]].network.arm(Fault.DEAD_AFTER, 1, STRIKES["changelog"])
        world.loop.run(world.workers[NAMES[0]].deliver(number, 1, 1, 0))
        fold_purchase()
        world.settle()
        assert NAMES[0] not in world.workers
        world.compact(number, 1.0, torn_too=True)
        if wiped:
            shutil.rmtree(world.disk(NAMES[0]))
        world.drain()
        oracle.check_drained()
    finally:
        world.close()
