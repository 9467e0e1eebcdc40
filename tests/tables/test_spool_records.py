"""The spool's bytes: whatever is lost of them, every other record is found, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tables.spool_records import MARK, Spooled, encode_record, pieces

records = st.builds(
    Spooled,
    topic=st.sampled_from(["events", "responses"]),
    key=st.text(max_size=20).map(str.encode),
    # Also what a caller would send who knows the format.
    value=st.text(max_size=60).map(lambda text: (text + MARK.decode(errors="replace")).encode()),
    at_ms=st.integers(0, 2**53),
)


def found(data: bytes) -> list[Spooled]:
    return [piece.record for piece in pieces(data) if piece.record is not None]


@given(st.lists(records))
def test_what_was_written_is_read(written: list[Spooled]) -> None:
    assert found(b"".join(map(encode_record, written))) == written


@given(st.lists(records, min_size=1), st.data())
def test_a_crash_at_any_byte_leaves_the_whole_records_before_it(
    written: list[Spooled], data: st.DataObject
) -> None:
    encoded = [encode_record(record) for record in written]
    whole = b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [sum(map(len, encoded[: count + 1])) for count in range(len(encoded))]
    survive = sum(end <= cut for end in ends)
    read = list(pieces(whole[:cut]))
    assert [piece.record for piece in read][:survive] == written[:survive]
    # At most one piece more, which is none.
    assert [piece.record for piece in read][survive:] in ([], [None])


@given(st.lists(records, min_size=1), st.data())
def test_damage_costs_the_record_it_is_in_and_no_other(written: list[Spooled], data: st.DataObject) -> None:
    encoded = [encode_record(record) for record in written]
    at = data.draw(st.integers(0, len(written) - 1))
    spoilt = bytearray(encoded[at])
    where = data.draw(st.integers(0, len(spoilt) - 1))
    spoilt[where] ^= data.draw(st.integers(1, 255))
    whole = b"".join([*encoded[:at], bytes(spoilt), *encoded[at + 1 :]])
    assert found(whole) == written[:at] + written[at + 1 :]
    read = list(pieces(whole))
    assert [piece.begin for piece in read] == [0, *(piece.end for piece in read[:-1])], "without a gap"
    assert read[-1].end == len(whole)


def test_the_bytes_are_those_of_version_1() -> None:
    record = Spooled("events", b"shop:ann", b"{}", 1_800_000_000_000)
    golden = "ff5350311f0000004aad7a5694a66576656e7473c40873686f703a616e6ec4027b7dcf000001a3185c5000"
    assert encode_record(record).hex() == golden
    assert found(bytes.fromhex(golden)) == [record]
