"""What an audit entry holds and how it is found: no broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.entities import KINDS, ApiKey, Category, Credential, Entity
from app.decision.index import EntityKey
from tables.audit_actor import Actor
from tables.audit_chain import Chains
from tables.audit_index import AuditFilter, AuditIndex
from tables.audit_pages import AuditBusyError, AuditPages
from tables.audit_records import (
    DOCUMENT_MAX_BYTES,
    GENESIS,
    ChainHead,
    Circumstances,
    Event,
    decode_entry,
    encode_entry,
)
from tables.catalogue_change import HIDDEN, Order, change_of
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan

AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Actor("key_1", "Anna")
DIGEST = "5e" * 32


def entries_of(changes: dict[EntityKey, Entity | None], current: TenantLog) -> list[dict[str, object]]:
    """The audit entries of a change."""
    plan = ImportPlan(changes, len(changes), ImportDiff(tenant="demo"))
    change = change_of("demo", current, plan, Order(actor=ANNA, at=AT))
    return [decode_entry(value) for _, value in change.audit]


def test_a_keys_digest_is_in_no_entry() -> None:
    assert "api-keys" in KINDS
    credentials = (Credential(lookup="abcdefghijkl", digest=DIGEST),)
    key = ApiKey(id="k1", name="Shop", role="viewer", credentials=credentials)
    log = TenantLog()
    log.entities["api-keys", "k1"] = key
    for after in (ApiKey(id="k1", name="Other", role="viewer", credentials=credentials), None):
        (entry,) = entries_of({("api-keys", "k1"): after}, log)
        assert DIGEST not in json.dumps(entry)
        assert HIDDEN in json.dumps(entry["before"])


def test_a_large_document_is_left_out_and_told_by_its_hash() -> None:
    large = Category(id="c", name="Large", description="x" * (DOCUMENT_MAX_BYTES + 1))
    (entry,) = entries_of({("categories", "c"): large}, TenantLog())
    after = entry["after"]
    assert isinstance(after, dict)
    assert set(after) == {"omitted", "bytes", "sha256"}
    assert after["bytes"] > DOCUMENT_MAX_BYTES


def test_the_bytes_of_format_1() -> None:
    """Golden: a chain that is written today must be checked for ever."""
    event = Event(
        action="created", kind="categories", subject="jazz", version_after=1, after={"name": "Jäzz"}
    )
    circumstances = Circumstances(tenant_id="demo", at=AT, actor=ANNA, import_id="i1", request_id="r1")
    value, head = encode_entry(event, circumstances, GENESIS)
    golden = (
        b'{"action":"created","actor":{"id":"key_1","name":"Anna"},"after":{"name":"J\\u00e4zz"},'
        b'"at":"2026-01-01T00:00:00Z","before":null,'
        b'"hash":"de3eade96f0c64f17fac9df9ea89f4ae0da87c5b89398224ede2eceefacad6ec","id":"jazz",'
        b'"importId":"i1","kind":"categories","previous":"'
        + b"0"
        * 64
        + b'","reason":"","requestId":"r1","sequence":1,"tenant":"demo","v":1,"versionAfter":1,'
        b'"versionBefore":null}'
    )
    assert value == golden
    assert head.sequence == 1
    assert decode_entry(value)["hash"] == head.hash


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_document_is_read_back_with_its_hash(document: dict[str, object]) -> None:
    event = Event(action="created", kind="offers", subject="x", after=document)
    circumstances = Circumstances(tenant_id="demo", at=AT, actor=ANNA, import_id="i1")
    value, head = encode_entry(event, circumstances, GENESIS)
    entry = decode_entry(value)
    assert (entry["after"], entry["hash"]) == (document, head.hash)


@given(st.lists(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode())))
def test_whatever_lies_on_the_topic_breaks_a_chain_and_no_reader(values: list[bytes]) -> None:
    chains = Chains()
    for value in values:
        assert chains.take(b"demo", value) == ("demo", None)
    assert (chains.of("demo").problem is None) == (not values)


def filled(index: AuditIndex, tenant_id: str, count: int, first_offset: int = 0) -> None:
    """A trail of so many entries."""
    head = GENESIS
    circumstances = Circumstances(tenant_id=tenant_id, at=AT, actor=ANNA, import_id="i1")
    for number in range(count):
        event = Event(action="created", kind="offers", subject=f"o{number}")
        value, head = encode_entry(event, circumstances, head)
        assert index.add(first_offset + number, tenant_id.encode(), value) is None


def test_past_its_bound_the_index_forgets_the_oldest_of_whoever_has_most() -> None:
    index = AuditIndex(entries_max=20)
    filled(index, "small", 5)
    filled(index, "large", 16, first_offset=5)
    assert len(index) == 21 - 8
    assert (index.forgotten("small"), index.forgotten("large")) == (0, 8)
    found = index.find("large", AuditFilter(), 50, 0)
    assert (list(found.offsets), found.total) == (list(range(20, 12, -1)), 8)
    assert index.chain("large").fault(index.chain("large").head) is None


async def test_past_the_bound_of_reads_a_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.audit_pages._WAIT_S", 0.05)
    index, gate = AuditIndex(), asyncio.Event()
    filled(index, "demo", 1)
    index.read = True

    async def read(offsets: Sequence[int]) -> list[bytes]:
        await gate.wait()
        return [b"{}"]

    pages = AuditPages(index, lambda tenant_id: ChainHead(0, ""), read)
    reading = [asyncio.create_task(pages.page("demo", AuditFilter(), 1, 0)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(AuditBusyError):
        await pages.page("demo", AuditFilter(), 1, 0)
    gate.set()
    assert all(page.total == 1 for page in await asyncio.gather(*reading))
