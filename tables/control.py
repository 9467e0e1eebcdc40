"""The control record: how far a partition's state has come. It ends every changelog batch.

Rules:

1.  `positions` is the next offset of each customer topic, in `config.topics.SOURCE_TOPICS` order. It is
    the floor for every key of the partition, erased ones too: nothing below it is folded again.
2.  `folded` lists what this very batch folded, in fold order: (topic, first offset, next offset). Order
    across topics is nowhere else in the log; a checker replays it from here.
3.  `outbox_end` is the sequence number of the next derived record; below `outbox_published` all are known
    to be on Kafka.
4.  `marks` says which record stood last before each position, so that a topic that was created again is
    recognised (see `marks`).
"""

from __future__ import annotations

import msgspec

from config.topics import SOURCE_TOPICS
from tables.layout import Kind, pack, unpack


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """How to know a record again: its offset, time stamp in epoch milliseconds, CRC-32 of key and value."""

    offset: int
    timestamp_ms: int
    checksum: int


class Control(msgspec.Struct, array_like=True, frozen=True):
    """A partition's position, as of the end of one batch."""

    epoch: int
    batch: int
    positions: tuple[int, ...]
    folded: tuple[tuple[int, int, int], ...]
    now_ms: int
    catalogue_version: int
    outbox_end: int
    outbox_published: int
    marks: tuple[Mark | None, ...] = ()


#: Before the first batch.
ORIGIN = Control(
    epoch=0,
    batch=0,
    positions=(0,) * len(SOURCE_TOPICS),
    folded=(),
    now_ms=0,
    catalogue_version=0,
    outbox_end=0,
    outbox_published=0,
    marks=(None,) * len(SOURCE_TOPICS),
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Control)


def encode_control(control: Control) -> bytes:
    return pack(Kind.CONTROL, _encoder.encode(control))


def decode_control(value: bytes) -> Control:
    """The control record; topics added since it was written begin at 0.

    Raises:
        StateFormatError: an unknown version.
    """
    control = _decoder.decode(unpack(Kind.CONTROL, value))
    count = len(SOURCE_TOPICS)
    positions = control.positions + (0,) * (count - len(control.positions))
    marks = control.marks + (None,) * (count - len(control.marks))
    return msgspec.structs.replace(control, positions=positions, marks=marks)
