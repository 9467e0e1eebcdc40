"""The fold of the topic's records, against a model of the topic with compaction."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.entities import Category, Entity
from app.decision.index import EntityKey
from tables.audit_records import ChainHead
from tables.catalogue_log import CatalogueLog
from tables.catalogue_records import (
    BARRIER,
    Marker,
    UnreadableRecordError,
    decode_entity,
    decode_marker,
    encode_entity,
    encode_marker,
    entity_key,
    marker_key,
    parse_key,
    value_digest,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)

#: offset, key, value
Record = tuple[int, bytes, bytes | None]
State = dict[EntityKey, Entity]


def key(n: int) -> EntityKey:
    return "categories", f"c{n}"


class Topic:
    """The topic as the writer fills it, and the tenant's true state at each marker."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.truth: dict[int, State] = {}
        self.state: State = {}
        self._held: dict[EntityKey, bytes] = {}
        self._imports = count()

    def write(self, changes: dict[int, int | None]) -> None:
        """An import: category by number to the number in its name, None to delete it."""
        import_id = f"import-{next(self._imports)}"
        values: list[tuple[bytes, bytes | None]] = []
        for n, name in changes.items():
            if name is None:
                if self.state.pop(key(n), None) is not None:
                    del self._held[key(n)]
                    values.append((entity_key("demo", key(n)), None))
                continue
            entity = self.state[key(n)] = Category(id=f"c{n}", name=f"Name {name}")
            value = self._held[key(n)] = encode_entity(import_id, entity)
            values.append((entity_key("demo", key(n)), value))
        marker = Marker(
            import_id=import_id,
            count=sum(value is not None for _, value in values),
            total=len(self.state),
            digest=f"{sum(value_digest(value) for value in self._held.values()) % 2**64:016x}",
            at=AT,
            by="test",
        )
        for record in (*values, (marker_key("demo"), encode_marker(marker))):
            self.records.append((len(self.records), *record))
        self.truth[len(self.records) - 1] = dict(self.state)


def compact(records: list[Record], end: int, tombstones_expired: bool) -> list[Record]:
    """The records as a cleaner leaves them that went over those before the offset `end`."""
    last = {record_key: offset for offset, record_key, _ in records if offset < end}
    return [
        (offset, record_key, value)
        for offset, record_key, value in records
        if offset >= end or (last[record_key] == offset and not (tombstones_expired and value is None))
    ]


imports = st.lists(
    st.dictionaries(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 3)), max_size=5),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400)
@given(imports, st.data())
def test_a_new_reader_ends_at_the_truth_however_the_topic_was_compacted(
    history: list[dict[int, int | None]], data: st.DataObject
) -> None:
    topic = Topic()
    for changes in history:
        topic.write(changes)
    records = topic.records
    for _ in range(data.draw(st.integers(0, 3))):
        end = data.draw(st.integers(0, len(topic.records)))
        records = compact(records, end, data.draw(st.booleans()))
    log = CatalogueLog()
    for record in records:
        log.apply(*record)
    assert log.tenant("demo").entities == topic.state
    assert log.version == topic.records[-1][0]
    assert log.problems() is None


@settings(max_examples=600)
@given(imports, imports, st.data())
def test_a_reader_that_lags_behind_the_cleaner_sees_true_states_or_says_no(
    before: list[dict[int, int | None]], after: list[dict[int, int | None]], data: st.DataObject
) -> None:
    topic = Topic()
    for changes in before:
        topic.write(changes)
    log = CatalogueLog()
    for record in topic.records:
        log.apply(*record)
    read = len(topic.records)
    for changes in after:
        topic.write(changes)
    end = data.draw(st.integers(0, len(topic.records)))
    expired = data.draw(st.booleans())
    for offset, record_key, value in compact(topic.records, end, expired):
        if offset < read:
            continue
        committed = log.apply(offset, record_key, value)
        sound = committed is not None and log.tenant("demo").problem is None
        assert not sound or log.tenant("demo").entities == topic.truth[offset]
    if not expired:
        assert log.tenant("demo").entities == topic.state
        assert log.problems() is None


def test_nothing_holds_before_its_marker() -> None:
    topic = Topic()
    topic.write({1: 1, 2: 1})
    log = CatalogueLog()
    *first, marker = topic.records
    assert [log.apply(*record) for record in first] == [None, None]
    assert (log.tenant("demo").entities, log.version) == ({}, 0)
    assert log.apply(*marker) == "demo"
    assert (len(log.tenant("demo").entities), log.version) == (2, 2)


def test_an_import_of_which_records_are_missing_is_not_applied() -> None:
    topic = Topic()
    topic.write({1: 1})
    topic.write({1: 2, 2: 2})
    log = CatalogueLog()
    for record in topic.records[:2] + topic.records[3:]:
        log.apply(*record)
    assert log.tenant("demo").entities == topic.truth[1]
    assert "incomplete, 1 of 2" in (log.problems() or "")


def test_tenants_do_not_touch_each_other() -> None:
    topic = Topic()
    topic.write({1: 1})
    log = CatalogueLog()
    for offset, record_key, value in topic.records:
        log.apply(offset, record_key.replace(b"demo", b"other"), value)
        log.apply(offset, record_key, value if record_key != marker_key("demo") else None)
    assert len(log.tenant("other").entities) == 1
    assert log.tenant("demo").entities == {}


def test_the_bytes_of_format_1() -> None:
    """Golden: what is stored today must be read for ever."""
    entity = Category(id="c:1", name="Jazz", version=2, created_at=AT, created_by="anna")
    value = (
        b'{"v":1,"importId":"i1","entity":{"id":"c:1","key":null,"name":"Jazz","description":"",'
        b'"status":"active","version":2,"createdAt":"2026-01-01T00:00:00Z","updatedAt":null,'
        b'"createdBy":"anna","parentId":null,"customFields":[]}}'
    )
    assert entity_key("demo", ("categories", "c:1")) == b"demo:categories:c:1"
    assert encode_entity("i1", entity) == value
    assert decode_entity("categories", value) == ("i1", entity)
    assert value_digest(value) == 5143512216446915606
    marker = Marker(import_id="i1", count=1, total=2, digest="00ff", at=AT, by="anna")
    value = (
        b'{"v":1,"importId":"i1","count":1,"total":2,"digest":"00ff","at":"2026-01-01T00:00:00Z","by":"anna"}'
    )
    assert marker_key("demo") == b"demo:!commit"
    assert decode_marker(value) == marker
    marker = msgspec.structs.replace(marker, audit=ChainHead(7, "ab" * 32))
    audited = value[:-1] + b',"audit":{"sequence":7,"hash":"' + b"ab" * 32 + b'"}}'
    assert encode_marker(marker) == audited
    assert decode_marker(audited) == marker


def test_keys_are_read_back() -> None:
    parsed = parse_key(b"demo:offers:a:b")
    assert parsed is not None
    assert (parsed.tenant_id, parsed.entity) == ("demo", ("offers", "a:b"))
    parsed = parse_key(b"demo:!commit")
    assert parsed is not None
    assert (parsed.tenant_id, parsed.entity) == ("demo", None)


@pytest.mark.parametrize(
    "text",
    [None, b"", b"\xff:a:b", b"demo", b"demo:offers", b"demo:offers:", b"Demo:offers:a", BARRIER + b"1"],
)
def test_other_keys_are_none_of_ours(text: bytes | None) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"v":2,"importId":"i","entity":{}}',
        b'{"v":1,"importId":"i","entity":{"id":"a"}}',
        b'{"v":1,"importId":"i","entity":{"id":"a","name":"A","soon":1}}',
        b'{"v":1,"importId":"i"}',
    ],
)
def test_what_cannot_be_read_is_an_error_of_its_own(value: bytes) -> None:
    with pytest.raises(UnreadableRecordError):
        decode_entity("categories", value)
    with pytest.raises(UnreadableRecordError):
        decode_marker(value)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([b"demo:categories:a", b"demo:!commit", b"x"]), st.binary())))
def test_no_bytes_break_the_log(records: list[tuple[bytes, bytes]]) -> None:
    log = CatalogueLog()
    for offset, (record_key, value) in enumerate(records):
        log.apply(offset, record_key, value)
    assert log.tenant("demo").entities == {}
    assert msgspec.json.encode(log.version)
