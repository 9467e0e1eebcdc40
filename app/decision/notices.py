"""The records of the topic `evidence`: what partitions tell one another across customers.

Rules of this module:

1.  A notice is of one tenant's key. Totals and what partitions ask and give back go to the key's owner, the
    partition that murmur2 of `tenant:key` names; grants and recalls to the partition that they concern.
2.  Totals are running totals with versions that only grow: whoever hears an older one ignores it.
3.  Anybody may write to the topic: names, numbers and periods are bounded when a notice is decoded; whether
    it concerns the partition that reads it, its fold says.
4.  Stored in the log: append fields only at the end, with a default, and new kinds under new tags.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.decision.refusals import Problem, Refused

_Tenant = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
_Evidence = Annotated[
    str,
    msgspec.Meta(max_length=512, pattern=r"\A(tenant|decisions|(offer|category|variant|model)/(?s:.+))\Z"),
]
_Budgeted = Annotated[str, msgspec.Meta(max_length=512, pattern=r"\A(offer|creative)/(?s:.+)\Z")]
_Period = Annotated[str, msgspec.Meta(pattern=r"\A([0-9]{4}-[0-9]{2}-[0-9]{2})?\Z")]
_Partition = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Holder = Annotated[str, msgspec.Meta(max_length=512)]


class Totals(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A partition's running totals for a key, as of one of its batches, whose number is their version."""

    tenant_id: _Tenant
    key: _Evidence
    partition: _Partition
    version: _Count
    totals: bytes


class Wanted(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A partition that has heard of `heard` deliveries granted asks for more; it is short of so many."""

    tenant_id: _Tenant
    key: _Budgeted
    period: _Period
    partition: _Partition
    heard: _Count
    short: _Count


class Granted(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """So many deliveries were ever granted to the partition that reads this."""

    tenant_id: _Tenant
    key: _Budgeted
    period: _Period
    granted: _Count


class Recalled(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Others need what the partition that reads this holds unspent."""

    tenant_id: _Tenant
    key: _Budgeted
    period: _Period


class Released(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The partition that reads this gives back so many deliveries, which no decision under way counts on.

    It is all that was left of the `heard` deliveries granted until then. It holds only for the taking of the
    partition that wrote it, `holder`, and each `number` once.
    """

    tenant_id: _Tenant
    key: _Budgeted
    period: _Period
    deliveries: _Count
    heard: _Count
    holder: _Holder
    number: _Count


class Returned(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A partition has ever given back `returned`, and holds nothing unspent of the first `granted`."""

    tenant_id: _Tenant
    key: _Budgeted
    period: _Period
    partition: _Partition
    granted: _Count
    returned: _Count


class Score(msgspec.Struct, frozen=True, array_like=True):
    """A record of the topic `scoreboard`: a key's totals over all partitions, and their version."""

    version: _Count
    totals: bytes


#: What concerns a budget in one period.
AccountNotice = Wanted | Granted | Recalled | Released | Returned
Notice = Totals | AccountNotice

_encoder = msgspec.msgpack.Encoder()
_notice = msgspec.msgpack.Decoder(Notice)
_score = msgspec.msgpack.Decoder(Score)


def encode_notice(notice: Notice | Score) -> bytes:
    return _encoder.encode(notice)


def decode_notice(value: bytes) -> Notice | Refused:
    """The notice, or why it is none: nobody but partitions writes them, but anybody could."""
    try:
        notice: Notice = _notice.decode(value)
        return notice
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refused("malformed", (Problem("", str(error)),))


def decode_score(value: bytes) -> Score | None:
    """The score, or None when it is none."""
    try:
        return _score.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
