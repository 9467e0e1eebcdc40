"""A customer to stored values and back, byte for byte as every version wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.state import (
    CONTACT_SEGMENT,
    SEEN_SEGMENT,
    Contact,
    Customer,
    Log,
    Parked,
    Profile,
    Recommendation,
    Seen,
    Shown,
    Window,
)
from tables.codec import MissingValueError, changes_of, load_customer, new_customer, settle
from tables.layout import StateFormatError, customer_key

GOLDEN = Path(__file__).parent.parent / "golden" / "state"


def _customer() -> Customer:
    customer = new_customer(customer_key("demo", "C-1 ü"))
    customer.watermarks = [7, 1, 2, 0, 3]
    customer.rekeyed = {"events/3": 12}
    customer.known_since_ms = 1_700_000_000_000
    customer.last_event_ms = 1_700_000_100_000
    customer.profile = Profile(
        {"tier": "gold", "age": 41, "likes": ["jazz", None]}, ("vip",), {"ch1": "revoked"}
    )
    customer.profile_changed = True
    customer.metrics = {"n": Window(0, {0: 3.0}), "spend": Window(129_600_000, {13_117: 29.33, 13_120: 12.5})}
    customer.contacts.append(Contact(1_700_000_000_500, "o1", "c1", "ch1", "cat1", "p1"))
    shown = (Shown(1, "o1", "c1", "ch1", "cat1"), Shown(2, "o2", "c2", "ch1", "cat1", "p1"))
    customer.recommendations.append(
        Recommendation("rec_1_18bcfe56800_00000000", 1_700_000_000_000, "f", shown, "trc")
    )
    customer.seen.append(Seen(2**64 - 1, 1_700_000_000_000, 5))
    customer.parked = [Parked(1, 2, "responses/1/4", b"{}")]
    return customer


def test_version_1_bytes_stay_readable_and_the_same() -> None:
    golden = json.loads((GOLDEN / "customer-v1.json").read_text())
    stored = {bytes.fromhex(key): bytes.fromhex(value) for key, value in golden.items()}
    assert dict(changes_of(_customer())) == stored
    loaded = load_customer(customer_key("demo", "C-1 ü"), stored.get)
    assert loaded is not None
    assert _plain(loaded) == _plain(_customer())


@pytest.mark.parametrize("kind", [b"B", b"P", b"C", b"R", b"S"])
def test_an_unknown_version_of_any_kind_is_refused(kind: bytes) -> None:
    stored = {
        key: b"\x63" + value[1:] if key.startswith(kind) else value
        for key, value in changes_of(_customer())
        if value is not None
    }
    with pytest.raises(StateFormatError, match="version 99"):
        load_customer(customer_key("demo", "C-1 ü"), stored.get)


def test_a_missing_segment_is_refused_not_guessed() -> None:
    stored = {key: value for key, value in changes_of(_customer()) if not key.startswith(b"C")}
    with pytest.raises(MissingValueError, match="lacks"):
        load_customer(customer_key("demo", "C-1 ü"), stored.get)


def test_an_unknown_customer_is_none() -> None:
    assert load_customer(b"demo:nobody", lambda _: None) is None


def test_one_more_contact_rewrites_one_segment() -> None:
    customer = _customer()
    for at in range(CONTACT_SEGMENT * 3):
        customer.contacts.append(Contact(at, "o", "c", "ch", "cat"))
    settle(customer)
    customer.contacts.append(Contact(1, "o", "c", "ch", "cat"))
    kinds = sorted(key[:1] for key, _ in changes_of(customer))
    assert kinds == [b"B", b"C"]


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 200), st.booleans()), max_size=12))
def test_any_history_of_appends_and_trims_reads_back_the_same(steps: list[tuple[int, int, bool]]) -> None:
    customer = new_customer(b"t:c")
    store: dict[bytes, bytes] = {}
    appended = 0
    for count, keep, write in steps:
        for _ in range(count):
            customer.seen.append(Seen(appended, appended))
            appended += 1
        before = list(customer.seen)
        customer.seen.trim(keep, lambda _: False)
        assert list(customer.seen) == before[len(before) - len(customer.seen) :]
        assert min(len(before), keep) <= len(customer.seen) < max(keep, 1) + SEEN_SEGMENT
        if write:
            _write(customer, store)
    _write(customer, store)
    loaded = load_customer(b"t:c", store.get)
    assert loaded is not None
    assert list(loaded.seen) == list(customer.seen)
    assert loaded.seen.base == customer.seen.base
    segments = [key for key in store if key.startswith(b"S")]
    assert len(segments) <= len(customer.seen) // SEEN_SEGMENT + 1


def test_trim_forgets_segments_whose_entries_all_expired() -> None:
    log: Log[int] = Log(4)
    for entry in range(10):
        log.append(entry)
    assert log.trim(100, lambda entry: entry < 7) == [0, 1, 2, 3]
    assert list(log) == [4, 5, 6, 7, 8, 9]
    assert log.trim(100, lambda entry: entry < 8) == [4, 5, 6, 7]


def _write(customer: Customer, store: dict[bytes, bytes]) -> None:
    for key, value in changes_of(customer):
        if value is None:
            store.pop(key, None)  # a segment may go before it was ever written
        else:
            store[key] = value
    settle(customer)


def _plain(customer: Customer) -> dict[str, object]:
    logs = {"contacts", "recommendations", "seen"}
    return {
        name: list(getattr(customer, name)) if name in logs else getattr(customer, name)
        for name in Customer.__slots__
        if name not in ("seen_index", "profile_changed")
    }
