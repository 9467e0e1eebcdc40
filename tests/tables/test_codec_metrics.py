"""The windows of every aggregate and the recent events, byte for byte as this version stores them."""

from __future__ import annotations

import json

import msgspec
import pytest

from app.decision.state import Customer, RecentEvent, Window
from app.decision.windows import Counts, Distinct, Last
from tables.codec import changes_of, load_customer, new_customer
from tables.layout import Kind, behaviour_key, customer_key, pack
from tests.tables.golden import GOLDEN

KEY = customer_key("demo", "C-2")

#: The sketch of the numbers 0 to 9, as bytes of the library.
SKETCH = bytes.fromhex(json.loads((GOLDEN / "sketch.json").read_text())["hashes-0-to-9"])

WINDOWS = {
    "count": Window(0, {0: 3.0}, 0xFFFFFFFF, 1_700_000_000_001),
    "avg": Window(1_000, {1_700_000_000: 7.5}, 2, 0, Counts({1_700_000_000: 3})),
    "last": Window(0, {}, 3, 0, Last(1_700_000_000_000, "gold")),
    "flag": Window(0, {}, 3, 0, Last(1_700_000_000_000, True)),
    "seen": Window(1_000, {}, 4, 0, Distinct(1_700_000_000, {2**64 - 1: 1_700_000_000})),
    "many": Window(0, {}, 5, 0, Distinct(0, {}, {0: SKETCH})),
}


def _customer() -> Customer:
    customer = new_customer(KEY)
    customer.metrics = dict(WINDOWS)
    customer.recent_since_ms = 1_699_999_999_999
    for number in range(10):
        customer.recent.append(RecentEvent(1_700_000_000_000 + number, "purchase", b'{"amount":1.5}'))
    return customer


def test_windows_and_recent_events_stay_readable() -> None:
    golden = json.loads((GOLDEN / "metrics-v1.json").read_text())
    windows = msgspec.msgpack.decode(bytes.fromhex(golden["windows"]), type=dict[str, Window])
    assert windows == WINDOWS
    assert msgspec.msgpack.encode(windows).hex() == golden["windows"]
    segment = [msgspec.msgpack.decode(bytes.fromhex(golden["segment"]), type=list[RecentEvent])]
    assert segment == [_customer().recent.segment(0)]


@pytest.mark.parametrize(
    ("stored", "window"),
    [
        ("920081 00 cb4008000000000000", Window(0, {0: 3.0})),
        ("92ce07b98a0081cd333dcb403d547ae147ae14", Window(129_600_000, {13_117: 29.33})),
    ],
)
def test_windows_from_before_fingerprints_are_read(stored: str, window: Window) -> None:
    assert msgspec.msgpack.decode(bytes.fromhex(stored), type=Window) == window


def test_a_full_segment_lies_by_itself_and_the_rest_in_the_head() -> None:
    stored = {key: value for key, value in changes_of(_customer()) if value is not None}
    assert sorted(key[:1] for key in stored) == [b"B", b"E"]
    loaded = load_customer(KEY, stored.get)
    assert loaded is not None
    assert list(loaded.recent) == list(_customer().recent)
    assert loaded.metrics == WINDOWS
    assert loaded.recent_since_ms == 1_699_999_999_999
    loaded.recent.append(RecentEvent(1, "page", b"{}"))
    assert [key[:1] for key, _ in changes_of(loaded)] == [b"B"]


@pytest.mark.parametrize(("last_event_ms", "since_ms"), [(0, 0), (5_000, 5_001)])
def test_of_a_customer_from_before_recent_events_none_up_to_the_last_is_known(
    last_event_ms: int, since_ms: int
) -> None:
    head = [[0] * 5, {}, 1, last_event_ms, {}, False, (0, 0), (0, 0), (0, 0), []]
    stored = {behaviour_key(KEY): pack(Kind.BEHAVIOUR, msgspec.msgpack.encode(head))}
    loaded = load_customer(KEY, stored.get)
    assert loaded is not None
    assert loaded.recent_since_ms == since_ms
