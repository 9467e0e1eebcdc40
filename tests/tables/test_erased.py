"""Markers, facts and traces byte for byte, and every key of a customer found from the customer."""

from __future__ import annotations

from pathlib import Path

from app.decision.state import Customer, Erasure
from tables.codec import changes_of, keys_of, load_customer, new_customer, settle
from tables.layout import customer_hash, customer_key, trace_key
from tables.store import PartitionStore, StoreMemory
from tables.traces import Traces
from tests.tables.golden import golden
from tests.tables.test_codec import full_customer

KEY = customer_key("demo", "C-1 ü")
AT_MS = 1_700_000_000_000
TRACE_ID = "trc_1_18bcfe56800_00000000"


def _erased() -> Customer:
    customer = new_customer(KEY)
    customer.watermarks = [7, 1, 2, 9, 3]
    customer.rekeyed = {"events/3": 12}
    customer.erasure = Erasure("ers_1_18bcfe56be8_0001000000000008", AT_MS + 500, AT_MS + 1_000)
    return customer


def test_markers_facts_and_traces_are_written_byte_for_byte() -> None:
    traces = Traces()
    traces.keep(KEY, AT_MS, TRACE_ID, b'{"tenantId":"demo"}')
    written = {key: value for key, value in changes_of(_erased()) if value is not None}
    assert {**written, **dict(traces.changes())} == golden("erased-v1.json")


def test_they_stay_readable() -> None:
    loaded = load_customer(KEY, golden("erased-v1.json").get)
    assert loaded is not None
    assert (loaded.erasure, loaded.watermarks) == (_erased().erasure, _erased().watermarks)
    assert (loaded.rekeyed, loaded.known_since_ms) == ({"events/3": 12}, 0)


def test_a_trace_of_before_is_read_swept_and_erased_by_its_name(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path / "0.db", StoreMemory(8 << 20, 4 << 20))
    old, bare = trace_key(AT_MS, TRACE_ID), b'{"tenantId":"demo"}'
    store.apply([(old, bare)], 0, 0)
    traces = Traces()
    traces.attach(store)
    assert traces.get(AT_MS, TRACE_ID) == bare
    assert list(traces.expired(AT_MS + 1, 10)) == [old]
    traces.erase(KEY, [(AT_MS, TRACE_ID)])
    assert traces.get(AT_MS, TRACE_ID) is None
    assert dict(traces.changes()) == {old: None}
    store.close()


def test_a_trace_goes_with_what_finds_it(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path / "0.db", StoreMemory(8 << 20, 4 << 20))
    traces = Traces()
    traces.attach(store)
    for number in range(3):
        traces.keep(KEY, AT_MS + number, f"{TRACE_ID}{number}", b"{}")
    store.apply(traces.changes(), 0, 0)
    traces.written()
    assert len(list(traces.expired(AT_MS + 2, 10))) == 4
    assert len(list(traces.expired(AT_MS + 3, 1))) == 2, "the bound is of traces"
    store.close()


def test_every_key_of_a_customer_is_found_from_it() -> None:
    customer = full_customer()
    written = {key for key, _ in changes_of(customer)}
    assert written <= set(keys_of(customer))
    settle(customer)
    customer.contacts.rewrite([customer.contacts.entries[0]])
    assert written <= set(keys_of(customer)), "those that await deletion too"


def test_the_hash_is_of_the_whole_key_and_of_fixed_length() -> None:
    hashes = {customer_hash(key) for key in (b"a:b", b"a:bc", b"ab:c", b"a:")}
    assert (len(hashes), {len(each) for each in hashes}) == (4, {16})
