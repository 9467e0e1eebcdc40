"""The lease: what a group confirmed, and how long ago."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from app.transport.membership import LEASE_PART, Membership
from config.boot_clock import boot_s

SESSION_MS = 400


async def _returns(membership: Membership, since_s: float) -> bool:
    try:
        await asyncio.wait_for(membership.confirmed(since_s), 0.1)
    except TimeoutError:
        return False
    return True


async def test_a_confirmation_holds_for_a_part_of_the_session() -> None:
    membership = Membership(SESSION_MS)
    assert not membership.holds()
    membership.confirmed_s = boot_s()
    assert membership.holds()
    membership.confirmed_s = boot_s() - SESSION_MS / 1000 * LEASE_PART
    assert not membership.holds()


async def test_taking_waits_for_a_confirmation_that_is_neither_old_nor_from_before_a_failure() -> None:
    membership = Membership(SESSION_MS)
    assert not await _returns(membership, 0.0)
    # A worker that was frozen since: another may own what it was about to take.
    membership.confirmed_s = boot_s() - SESSION_MS / 1000
    assert not await _returns(membership, 0.0)
    failed_s = boot_s()
    membership.confirmed_s = failed_s - 0.01
    assert not await _returns(membership, failed_s)
    membership.confirmed_s = boot_s()
    assert await _returns(membership, failed_s)


@pytest.mark.parametrize(
    ("name", "error", "counts"),
    [
        ("HeartbeatResponse_v1", 0, True),
        ("SyncGroupResponse_v3", 0, True),
        ("HeartbeatResponse_v1", 27, False),
        ("JoinGroupResponse_v5", 0, False),
    ],
)
async def test_only_what_the_group_answers_without_an_error_counts(
    name: str, error: int, counts: bool
) -> None:
    response = type(name, (), {"error_code": error})()

    async def send(request: object) -> object:
        return response

    coordinator = SimpleNamespace(_send_req=send)
    membership = Membership(SESSION_MS)
    membership.watch(coordinator)
    assert await coordinator._send_req("request") is response
    assert membership.holds() is counts
