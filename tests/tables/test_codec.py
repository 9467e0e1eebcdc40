"""A customer to stored values and back, byte for byte as every version wrote them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.log import Log
from app.decision.records import SHOWN_MAX_BYTES, SHOWN_SMALL
from app.decision.state import (
    CONTACT_SEGMENT,
    RECENT_SEGMENT,
    SEEN_SEGMENT,
    TOTAL_SEGMENT,
    Assigned,
    Contact,
    ContactTotal,
    Customer,
    Interaction,
    Parked,
    Profile,
    RecentEvent,
    Recommendation,
    Reserved,
    Seen,
    Shown,
    Suppression,
    Window,
)
from tables.codec import MissingValueError, changes_of, load_customer, new_customer, settle
from tables.layout import VERSIONS, Kind, StateFormatError, customer_key
from tests.tables.golden import golden


def _first() -> Customer:
    """A customer as version 1 knew them."""
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
    # What version 1 did not keep: its events until the last one.
    customer.recent_since_ms = customer.last_event_ms + 1
    return customer


def _second() -> Customer:
    """A customer as version 2 knew them."""
    customer = _first()
    at_ms = 1_700_000_000_000
    shown = Shown(1, "o1", "c1", "ch1", "cat1", None, 0.25, "exp1", "b", "m1@00", (0.5, "gold", True, None))
    customer.recommendations.append(Recommendation("rec_2", at_ms, "f", (shown,), None, "exp2", "a"))
    customer.totals.append(ContactTotal(at_ms - 900_000, at_ms - 1, 3, "o1", "c1", "ch1", "cat1", "p1"))
    for n in range(RECENT_SEGMENT + 1):
        customer.recent.append(RecentEvent(at_ms + n, "purchase", b'{"amount":1}'))
    customer.recent_since_ms = at_ms - 5
    contact = Contact(at_ms, "o1", "c1", "ch1", "cat1")
    customer.reserved = [Reserved(at_ms + 60_000, "rec_2", 1, contact)]
    customer.suppressions = [Suppression("sup1", "pol1", "offer", "o1", "dismiss", at_ms, at_ms + 1_000)]
    customer.assigned = {"exp1": Assigned("b", at_ms, at_ms + 5, at_ms + 9)}
    customer.credited = [2**64 - 1]
    return customer


def full_customer() -> Customer:
    """A customer with something in every field."""
    customer = _second()
    at_ms = 1_700_000_000_000
    customer.interactions.append(Interaction("int_1_01", at_ms, "click", "o1", "c1", "ch1", "rec_2", 1))
    customer.interactions.append(Interaction("int_1_02", at_ms + 1, "dismiss", "o1", "", ""))
    return customer


def test_the_newest_version_is_written_byte_for_byte() -> None:
    assert dict(changes_of(full_customer())) == golden("customer-v3.json")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("customer-v1.json", _first), ("customer-v2.json", _second), ("customer-v3.json", full_customer)],
)
def test_the_bytes_of_every_version_stay_readable(name: str, meant: Callable[[], Customer]) -> None:
    loaded = load_customer(customer_key("demo", "C-1 ü"), golden(name).get)
    assert loaded is not None
    assert _plain(loaded) == _plain(meant())


def test_an_old_value_is_rewritten_when_it_changes() -> None:
    stored = golden("customer-v1.json")
    customer = load_customer(customer_key("demo", "C-1 ü"), stored.get)
    assert customer is not None
    assert [(key[:1], value and value[0]) for key, value in changes_of(customer)] == [(b"B", 3)]
    customer.recommendations.append(Recommendation("rec_2", 1, "f", ()))
    for key, value in changes_of(customer):
        stored[key] = value or b""
    assert {key[:1]: value[0] for key, value in stored.items()} == {
        b"P": 1, b"C": 1, b"R": 2, b"S": 1, b"B": 3,
    }  # fmt: skip
    loaded = load_customer(customer_key("demo", "C-1 ü"), stored.get)
    assert loaded is not None
    assert _plain(loaded) == _plain(customer)


def test_what_version_1_would_lose_it_refuses() -> None:
    written = {key[:1]: (value or b"")[0] for key, value in changes_of(full_customer())}
    assert (written[b"B"], written[b"R"]) == (3, 2)
    assert all(versions.written == max(versions.read) for versions in VERSIONS.values())
    assert set(VERSIONS) == set(Kind)


@pytest.mark.parametrize("kind", [b"B", b"P", b"C", b"R", b"S", b"H", b"E", b"N"])
def test_an_unknown_version_of_any_kind_is_refused(kind: bytes) -> None:
    stored = {
        key: b"\x63" + value[1:] if key.startswith(kind) else value
        for key, value in changes_of(full_customer())
        if value is not None
    }
    with pytest.raises(StateFormatError, match="version 99"):
        load_customer(customer_key("demo", "C-1 ü"), stored.get)


def test_the_largest_of_the_few_shown_fits_its_value() -> None:
    wide = "\U0001f600" * 128
    largest = Shown(10_000, wide, wide, wide, wide, wide, 1.0, wide, wide, wide, ("\U0001f600" * 128,) * 32)
    assert len(msgspec.msgpack.encode((largest,) * SHOWN_SMALL)) <= SHOWN_MAX_BYTES


def test_a_missing_segment_is_refused_not_guessed() -> None:
    stored = {key: value for key, value in changes_of(full_customer()) if not key.startswith(b"C")}
    with pytest.raises(MissingValueError, match="lacks"):
        load_customer(customer_key("demo", "C-1 ü"), stored.get)


def test_an_unknown_customer_is_none() -> None:
    assert load_customer(b"demo:nobody", lambda _: None) is None


def test_one_more_contact_rewrites_one_segment() -> None:
    customer = full_customer()
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


def test_a_rewritten_log_leaves_nothing_behind() -> None:
    customer = new_customer(b"t:c")
    store: dict[bytes, bytes] = {}
    for count in (70, 3, 40, 0, 33):
        customer.totals.rewrite([ContactTotal(n, n, 1, "o", "c", "ch", "cat") for n in range(count)])
        customer.totals.append(ContactTotal(99, 99, 1, "o", "c", "ch", "cat"))
        _write(customer, store)
        loaded = load_customer(b"t:c", store.get)
        assert loaded is not None
        assert list(loaded.totals) == list(customer.totals)
        assert len(customer.totals) == count + 1
        assert sum(key.startswith(b"H") for key in store) == count // TOTAL_SEGMENT + 1


def _write(customer: Customer, store: dict[bytes, bytes]) -> None:
    for key, value in changes_of(customer):
        if value is None:
            store.pop(key, None)  # a segment may go before it was ever written
        else:
            store[key] = value
    settle(customer)


def _plain(customer: Customer) -> dict[str, object]:
    logs = {"contacts", "recommendations", "seen", "totals", "recent", "interactions"}
    return {
        name: list(getattr(customer, name)) if name in logs else getattr(customer, name)
        for name in Customer.__slots__
        if name not in ("seen_index", "profile_changed")
    }
