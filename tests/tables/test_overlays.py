"""Overlays: seen at once, taken down by the fold of their own or a later record."""

from __future__ import annotations

import asyncio

from app.decision.state import Contact, Recommendation
from tables.overlays import OVERLAYS_MAX, PROMISED_MAX_BYTES, Overlay, Overlays, Promise


def _overlay(overlays: Overlays, customer: bytes, at_ms: int = 0) -> int:
    sequence = overlays.next_sequence()
    contact = Contact(at_ms, "o", "c", "ch", "cat")
    overlays.add(Overlay(sequence, customer, Recommendation(f"rec{sequence}", at_ms, "f", ()), (contact,)))
    return sequence


def test_each_customer_sees_its_own_in_order() -> None:
    overlays = Overlays()
    first, _, third = _overlay(overlays, b"a"), _overlay(overlays, b"b"), _overlay(overlays, b"a")
    assert [overlay.sequence for overlay in overlays.of(b"a")] == [first, third]
    assert list(overlays.of(b"nobody")) == []


def test_the_fold_of_a_record_takes_down_it_and_every_earlier_one() -> None:
    overlays = Overlays()
    for customer in (b"a", b"b", b"a", b"c"):
        last = _overlay(overlays, customer)
    overlays.folded(last - 1)
    assert [overlay.sequence for customer in (b"a", b"b", b"c") for overlay in overlays.of(customer)] == [
        last
    ]
    assert len(overlays) == 1


def test_there_is_a_bound() -> None:
    overlays = Overlays()
    for number in range(OVERLAYS_MAX):
        assert not overlays.full
        last = _overlay(overlays, b"%d" % number)
    assert overlays.full
    overlays.folded(last)
    assert not overlays.full


def test_a_withdrawn_one_is_gone_and_its_number_is_not_given_again() -> None:
    overlays = Overlays()
    sequence = _overlay(overlays, b"a")
    overlays.withdraw(sequence)
    overlays.withdraw(sequence)
    assert len(overlays) == 0
    assert overlays.next_sequence() == sequence + 1


def test_clear_forgets_all_and_numbers_go_on() -> None:
    overlays = Overlays()
    sequence = _overlay(overlays, b"a")
    overlays.clear()
    assert list(overlays.of(b"a")) == []
    assert overlays.next_sequence() == sequence + 1


async def test_answers_that_wait_for_their_fold_are_bounded_by_their_bytes() -> None:
    overlays, full = Overlays(), []
    for sequence in (1, 2):
        given = asyncio.get_running_loop().create_future()
        shown = Recommendation(f"r{sequence}", 1, "f", ())
        promise = Promise(sequence, PROMISED_MAX_BYTES // 2, given)
        overlays.add(Overlay(sequence, b"shop:ann", shown, (), promise=promise))
        full.append(overlays.full)
    overlays.withdraw(2)
    full.append(overlays.full)
    overlays.add(Overlay(3, b"shop:ann", shown, (), promise=promise))
    overlays.clear()
    full.append(overlays.full)
    assert full == [False, True, False, False]
