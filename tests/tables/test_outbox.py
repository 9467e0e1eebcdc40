"""The outbox: stored with the batch, published after, the same bytes again after a crash."""

from __future__ import annotations

from tables.outbox import Outbox
from tables.publisher import Derived


def _derived(number: int) -> Derived:
    return Derived("rekeyed", number % 3, b"t:c", str(number).encode(), (("h", b"1"),))


def _store(outbox: Outbox, store: dict[bytes, bytes]) -> None:
    """What a written batch does."""
    for key, value in outbox.changes():
        if value is None:
            del store[key]
        else:
            store[key] = value
    outbox.written(outbox.published)


def test_an_entry_waits_for_its_batch_then_goes_out_in_order() -> None:
    outbox = Outbox()
    outbox.add(_derived(0))
    outbox.add(_derived(1))
    assert list(outbox.waiting()) == []
    _store(outbox, {})
    assert list(outbox.waiting()) == [(0, _derived(0)), (1, _derived(1))]


def test_published_entries_leave_the_store_with_the_next_batch() -> None:
    outbox = Outbox()
    store: dict[bytes, bytes] = {}
    outbox.add(_derived(0))
    outbox.add(_derived(1))
    _store(outbox, store)
    outbox.note_published(0)
    assert outbox.unforgotten == 1
    outbox.add(_derived(2))
    _store(outbox, store)
    assert len(store) == 2
    assert outbox.unforgotten == 0


def test_after_a_crash_what_was_not_known_to_be_published_goes_out_again_unchanged() -> None:
    outbox = Outbox()
    store: dict[bytes, bytes] = {}
    for number in range(4):
        outbox.add(_derived(number))
    _store(outbox, store)
    published_then, end_then = outbox.published, outbox.end
    outbox.note_published(0)  # on Kafka, but the crash comes before the next batch says so
    again = Outbox()
    again.restore(end_then, published_then, sorted(store.items()))
    assert [derived for _, derived in again.waiting()] == [_derived(number) for number in range(4)]
    again.add(_derived(4))
    _store(again, store)
    assert [sequence for sequence, _ in again.waiting()] == [0, 1, 2, 3, 4]


def test_entries_that_were_published_but_not_forgotten_are_deleted_later() -> None:
    outbox = Outbox()
    store: dict[bytes, bytes] = {}
    for number in range(3):
        outbox.add(_derived(number))
    _store(outbox, store)
    again = Outbox()
    again.restore(3, 2, sorted(store.items()))
    assert [sequence for sequence, _ in again.waiting()] == [2]
    _store(again, store)
    assert len(store) == 1
