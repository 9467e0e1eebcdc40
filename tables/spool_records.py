"""The spool's bytes: records one after the other, each of which can be found and checked by itself.

Rules:

1.  A record is a mark of four bytes, the length of its body and the CRC-32 of length and body (both four
    bytes, little-endian), and the body: a msgpack array, append fields only.
2.  The mark begins with a byte that UTF-8 never has. Keys and values are UTF-8, so nothing that a caller
    sends can look like a record.
3.  What is no record is a piece of damage up to the next record that is whole: the disk has lost something.
    Only the beginning of a record at the end of the file that was being written is what a crash may leave.
4.  Another format has another mark and another file name.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

MARK = b"\xffSP1"

_HEAD = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")

HEAD_BYTES = _HEAD.size


class Spooled(msgspec.Struct, frozen=True, array_like=True):
    """A record to publish: `topic` is a name of `config.topics`; `at_ms` is when it was taken, epoch ms."""

    topic: str
    key: bytes
    value: bytes
    at_ms: int


class Piece(msgspec.Struct, frozen=True):
    """The bytes [begin, end) of a file: a record, or damage when `record` is None."""

    begin: int
    end: int
    record: Spooled | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Spooled)


def encode_record(record: Spooled) -> bytes:
    """The record as the file holds it."""
    body = _encoder.encode(record)
    return _HEAD.pack(MARK, len(body), _checksum(body)) + body


def pieces(data: bytes, base: int = 0) -> Iterator[Piece]:
    """Everything in a file, in order, without a gap.

    Args:
        data: the file's bytes from `base` to its end.
        base: where a record begins, or damage.
    """
    at = 0
    while at < len(data):
        piece = _record_at(data, at, base)
        if piece is None:
            found = _next_record(data, at + 1)
            piece = Piece(base + at, base + found, None)
        yield piece
        at = piece.end - base


def half_written(data: bytes) -> bool:
    """Whether bytes that are no record look like the beginning of one.

    So does a record whose length the disk has changed: what looks so may have been acknowledged.
    """
    if len(data) < HEAD_BYTES:
        return data[: len(MARK)] == MARK[: len(data)]
    mark, length, _ = _HEAD.unpack_from(data)
    return bool(mark == MARK and len(data) - HEAD_BYTES < length)


def _record_at(data: bytes, at: int, base: int) -> Piece | None:
    if len(data) - at < HEAD_BYTES:
        return None
    mark, length, checksum = _HEAD.unpack_from(data, at)
    begin = at + HEAD_BYTES
    body = data[begin : begin + length]
    if mark != MARK or len(body) != length or _checksum(body) != checksum:
        return None
    try:
        record = _decoder.decode(body)
    except msgspec.DecodeError:
        return None
    return Piece(base + at, base + begin + length, record)


def _next_record(data: bytes, at: int) -> int:
    """Where the next whole record begins; the end of the data when there is none."""
    while (at := data.find(MARK, at)) >= 0:
        if _record_at(data, at, 0) is not None:
            return at
        at += 1
    return len(data)


def _checksum(body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_LENGTH.pack(len(body))))
