"""Where everything lies: the keys of the one table, their reserved prefixes, and the version of each value.

Every key of a partition's store and changelog begins with one byte, its kind:

    B  behaviour     B <tenant>:<customer>              watermarks, metrics, where the logs begin and end
    P  profile       P <tenant>:<customer>
    C  contacts      C <tenant>:<customer> <segment u32>
    R  recommended   R <tenant>:<customer> <segment u32>
    S  seen          S <tenant>:<customer> <segment u32>  idempotency keys
    H  contact totals H <tenant>:<customer> <segment u32> contacts no longer kept one by one
    E  recent events E <tenant>:<customer> <segment u32>
    N  interactions  N <tenant>:<customer> <segment u32>
    T  trace         T <at_ms u64> <trace id>             in time order, so that the oldest go first
    V  answer        V <at_ms u64> <tenant>:<customer> <key hash u64>  of an idempotency key, in time order
    K  answers       K <tenant>:<customer>                which answers the customer has
    I  traces of     I <hash> <at_ms u64> <trace id>      which traces a customer has
    X  erased        X <hash>                             what bars the way back of an erased customer
    Y  erasure       Y <at_ms u64> <erasure id>           what may be told of it, in time order
    A  totals        A <tenant>:<key>                     what this partition's customers add up to
    M  sums          M <tenant>:<key> <partition u16>     the newest totals of each, kept by the key's owner
    L  lease         L <tenant>:<key>                     what this partition may spend of a budget
    G  ledger        G <tenant>:<key>                     what the key's owner granted of a budget
    O  outbox        O <sequence u64>                     derived records not yet known to be published
    Z  control       Z                                    the partition's position, last record of a batch

on the changelog, `decisions` and `scoreboard`, never in the store:

    !fence           a new owner's epoch begins here

and, in the store only, never in the changelog:

    !offset          the changelog offset this store has applied
    !format          the format of the whole store

J (journeys), D (timers) and U (run shares) are reserved. Numbers are big-endian, so that key
order is their order. <hash> is 128 bits of BLAKE2b of `<tenant>:<customer>`, see `customer_hash`.
A customer's own are B, P, C, R, S, H, E and N (`codec.keys_of`), T and I (`traces`), V and K (`answers`): all
of them go when it is erased. X and Y are what stays, and name it by <hash> alone. O may have a record of it
until that is published. A, M, L, G and Z know no customer.

Values begin with their version byte. Version policy:

1.  A value with new fields gets a new version, also when they stand at its end and have defaults: a program
    that does not know them must refuse the value, since it would write it back without them.
2.  A program writes the newest version of a kind and reads every older one listed in `VERSIONS`; what it does
    not list is refused, never guessed. Old values are rewritten when they change, not before.
3.  Golden files hold the bytes of each version (tests/golden/state).
"""

from __future__ import annotations

import hashlib
import struct
from enum import Enum
from typing import NamedTuple


class StateFormatError(Exception):
    """A stored value or store has a format this version does not read.

    Internal, not retryable: run the version that wrote it, or remove the partition's folder, so that the
    state is rebuilt from the changelog.
    """


class Kind(bytes, Enum):
    """The first byte of a key."""

    BEHAVIOUR = b"B"
    PROFILE = b"P"
    CONTACTS = b"C"
    RECOMMENDED = b"R"
    SEEN = b"S"
    CONTACT_TOTALS = b"H"
    RECENT = b"E"
    INTERACTIONS = b"N"
    TRACE = b"T"
    ANSWER = b"V"
    ANSWERS = b"K"
    TRACES_OF = b"I"
    ERASED = b"X"
    ERASURE = b"Y"
    TOTALS = b"A"
    SUMS = b"M"
    LEASE = b"L"
    LEDGER = b"G"
    OUTBOX = b"O"
    CONTROL = b"Z"


CONTROL_KEY = b"Z"
#: On topics only: where a new owner's writes begin. Never applied to a store, never folded.
FENCE_KEY = b"!fence"
OFFSET_KEY = b"!offset"
FORMAT_KEY = b"!format"

#: Bytes of a customer's hash.
HASH_BYTES = 16


class Versions(NamedTuple):
    """The version of a kind's values that this program writes, and those that it reads."""

    written: int
    read: frozenset[int]


_FIRST = Versions(1, frozenset({1}))

VERSIONS: dict[Kind, Versions] = {
    **dict.fromkeys(Kind, _FIRST),
    # 2: totals, recent events, reservations, suppressions, variants, credited decisions.
    # 3: where the log of interactions begins and ends.
    Kind.BEHAVIOUR: Versions(3, frozenset({1, 2, 3})),
    # 2: selection probability, experiment and variant, model and features of what was shown.
    Kind.RECOMMENDED: Versions(2, frozenset({1, 2})),
    # 2: the customer's hash before the JSON. Those from before are bare JSON, without a version (`traces`).
    Kind.TRACE: Versions(2, frozenset({2})),
    # 2: the position and mark of the topic `evidence`.
    Kind.CONTROL: Versions(2, frozenset({1, 2})),
}
STORE_FORMAT = b"offertide-store-1"

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


def customer_key(tenant_id: str, customer_id: str) -> bytes:
    """The record key of a customer, on Kafka and here. Tenant ids have no colon, so it is unambiguous."""
    return f"{tenant_id}:{customer_id}".encode()


def split_customer_key(key: bytes) -> tuple[str, str]:
    """Tenant id and customer id of a customer key."""
    tenant, _, customer = key.decode().partition(":")
    return tenant, customer


def behaviour_key(customer: bytes) -> bytes:
    return b"B" + customer


def profile_key(customer: bytes) -> bytes:
    return b"P" + customer


def segment_key(kind: Kind, customer: bytes, segment: int) -> bytes:
    return kind.value + customer + _U32.pack(segment)


def shared_key(tenant_id: str, key: str) -> bytes:
    """The record key of what is counted across customers, on Kafka and here."""
    return f"{tenant_id}:{key}".encode()


def sum_key(key: bytes, partition: int) -> bytes:
    return b"M" + key + _U16.pack(partition)


def split_sum_key(key: bytes) -> tuple[bytes, int]:
    """The record key and the partition of a sum's key."""
    return key[1:-2], int(_U16.unpack(key[-2:])[0])


def outbox_key(sequence: int) -> bytes:
    return b"O" + _U64.pack(sequence)


def customer_hash(customer: bytes) -> bytes:
    """What stands for a customer key where its id may not: 16 bytes.

    It has no secret: whoever folds a record must find the marker, on any worker and at any time, and a secret
    that is lost or changed would let the customer come back. So who guesses an id can confirm the guess.
    """
    return hashlib.blake2b(customer, digest_size=HASH_BYTES, person=b"offertide-erased").digest()


def erased_key(hashed: bytes) -> bytes:
    return b"X" + hashed


def erasure_key(at_ms: int, erasure_id: str) -> bytes:
    return b"Y" + _U64.pack(at_ms) + erasure_id.encode()


def trace_of_key(hashed: bytes, trace: bytes) -> bytes:
    """The key that finds a customer's trace; `trace` is the trace's own."""
    return b"I" + hashed + trace[1:]


def trace_key(at_ms: int, trace_id: str) -> bytes:
    return b"T" + _U64.pack(at_ms) + trace_id.encode()


def answers_key(customer: bytes) -> bytes:
    return b"K" + customer


def answer_key(at_ms: int, customer: bytes, key_hash: int) -> bytes:
    return answer_time_key(at_ms) + customer + _U64.pack(key_hash)


def answer_time_key(at_ms: int) -> bytes:
    """Below it are the keys of all answers decided before an instant, epoch ms."""
    return b"V" + _U64.pack(at_ms)


def split_answer_key(key: bytes) -> tuple[int, bytes]:
    """When an answer was decided, epoch ms, and its customer key."""
    return int(_U64.unpack(key[1:9])[0]), key[9:-8]


def pack(kind: Kind, payload: bytes) -> bytes:
    """The payload behind its version byte."""
    return _VERSION_BYTE[kind] + payload


def unpack(kind: Kind, value: bytes) -> memoryview:
    """The payload of a stored value.

    Raises:
        StateFormatError: the version is not one this program reads.
    """
    if not value or value[0] not in _READ[kind]:
        found = value[0] if value else "none"
        readable = ", ".join(str(version) for version in sorted(_READ[kind]))
        raise StateFormatError(
            f"{kind.name.lower()} value has version {found}, this program reads {readable}"
        )
    return memoryview(value)[1:]


_VERSION_BYTE = {kind: bytes([versions.written]) for kind, versions in VERSIONS.items()}
_READ = {kind: versions.read for kind, versions in VERSIONS.items()}
