"""What a partition stores apart from its customers, byte for byte as every version wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from app.decision.budgets import TOTAL
from app.decision.deliveries import Delivery
from app.decision.learning.evidence import Tally
from app.decision.learning.learner import LogisticLearner
from app.decision.learning.logistic import Coordinate, Logistic, LogisticConfig, LogisticState
from app.decision.leases import Book, Holding, Share
from app.decision.months import month_of
from app.decision.notices import Returned, Totals
from app.decision.observations import Observation
from app.decision.state import Features
from tables.codec import Change
from tables.control import Control, Mark, decode_control, encode_control
from tables.counters import Counters
from tables.layout import CONTROL_KEY, VERSIONS, Kind, StateFormatError
from tables.leases import Lease, Leases
from tables.outbox import Outbox
from tables.publisher import Derived
from tables.store import PartitionStore, StoreMemory
from tests.tables.golden import STORES, golden

NOW_MS = 1_800_000_000_000
TODAY = "2027-01-15"
NAME = b"demo:offer/o1"
TALLY = msgspec.msgpack.encode(Tally(5, 2))
STATE = LogisticState(2.0, {"attributes.city=Linz": Coordinate(0.5, 0.25)})

DERIVED = (
    Derived("rekeyed", 2, b"demo:C-1", b'{"a":1}', (("origin", b"events/3/7"),)),
    Derived("decisions", 0, None, None),
)
MARK = Mark(6, NOW_MS - 1, 2**32 - 1)
CONTROL = Control(
    3, 17, (7, 1, 2, 0, 3, 4), ((0, 5, 7), (5, 3, 4)), NOW_MS, 12, 302, 300, (MARK, *(None,) * 5)
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "0.db", StoreMemory(8 << 20, 4 << 20))
    yield store
    store.close()


def test_every_kind_has_golden_bytes_of_every_version_it_reads() -> None:
    found = {(Kind(key[:1]), value[0]) for name in STORES for key, value in golden(name).items()}
    assert found == {(kind, version) for kind in Kind for version in VERSIONS[kind].read}


# -- the outbox


def outbox_changes() -> list[Change]:
    outbox = Outbox()
    outbox.restore(300, 300, ())
    for derived in DERIVED:
        outbox.add(derived)
    return list(outbox.changes())


def test_derived_records_are_written_byte_for_byte() -> None:
    assert dict(outbox_changes()) == golden("outbox-v1.json")


def test_derived_records_stay_readable() -> None:
    outbox = Outbox()
    outbox.restore(302, 300, sorted(golden("outbox-v1.json").items()))
    assert list(outbox.waiting()) == list(zip((300, 301), DERIVED, strict=True))


# -- totals and sums


class Taught(LogisticLearner):
    """Learns the same from every example."""

    def __init__(self) -> None:
        super().__init__(Logistic(LogisticConfig(), ["attributes.city"]))

    def learn(self, state: LogisticState, features: Features, positive: bool, /) -> LogisticState:
        return STATE


def counters_changes() -> list[Change]:
    counters = Counters()
    counters.observe("demo", Observation("impression", "o1", "", "", "", model_id="m"), Taught())
    counters.count_decision("demo", NOW_MS)
    counters.hear(Totals("demo", "offer/o1", 7, 12, TALLY))
    return list(counters.changes())


def test_totals_and_sums_are_written_byte_for_byte() -> None:
    assert dict(counters_changes()) == golden("counters-v1.json")


def test_totals_and_sums_stay_readable(store: PartitionStore) -> None:
    store.apply(golden("counters-v1.json").items(), 0, 1)
    counters = Counters()
    counters.load(store, 1)
    assert set(counters.own) == {NAME, b"demo:tenant", b"demo:model/m", b"demo:decisions"}
    assert msgspec.msgpack.decode(counters.own[NAME], type=Tally) == Tally(1, 0)
    assert Taught().decode(counters.own[b"demo:model/m"]) == STATE
    assert counters.decided("demo", month_of(NOW_MS)) == 1
    assert counters.sums_untold == {NAME: (1, (TALLY,))}
    # It is known as of version 12.
    assert not counters.hear(Totals("demo", "offer/o1", 7, 12, b""))


# -- leases and ledgers


def leases_of(store: PartitionStore) -> Leases:
    store.apply(golden("leases-v1.json").items(), 0, 1)
    leases = Leases(0)
    leases.load(store, "h/1")
    return leases


def test_leases_and_ledgers_stay_readable(store: PartitionStore) -> None:
    leases = leases_of(store)
    assert leases.leases == {NAME: Lease(NOW_MS, {TOTAL: Holding(10, 2, 3), TODAY: Holding(5, 1, 3)})}
    assert leases.ledgers == {NAME: {TOTAL: Book({1: Share(10, 2, 4), 7: Share(3, 0, 0)}, NOW_MS)}}


def test_leases_and_ledgers_are_written_byte_for_byte(store: PartitionStore) -> None:
    leases = leases_of(store)
    # Both are written again, and nothing in them is new.
    leases.spend(NAME, TODAY, Delivery(NOW_MS, "o1", "c1", 0), TODAY, NOW_MS)
    leases.returned(Returned("demo", "offer/o1", TOTAL, 1, 4, 2), TODAY)
    assert dict(leases.changes()) == golden("leases-v1.json")


# -- the control record


def first_control() -> Control:
    """As version 1 began: without marks, and without the topic `evidence`."""
    return msgspec.structs.replace(
        CONTROL, positions=(*CONTROL.positions[:5], 0), folded=CONTROL.folded[:1], marks=(None,) * 6
    )


def marked_control() -> Control:
    """As version 1 was later."""
    return msgspec.structs.replace(first_control(), marks=CONTROL.marks)


def test_the_control_record_is_written_byte_for_byte() -> None:
    assert {CONTROL_KEY: encode_control(CONTROL)} == golden("control-v2.json")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("control-v1.json", first_control),
        ("control-v1-marks.json", marked_control),
        ("control-v2.json", lambda: CONTROL),
    ],
)
def test_control_records_of_every_version_stay_readable(name: str, meant: Callable[[], Control]) -> None:
    assert decode_control(golden(name)[CONTROL_KEY]) == meant()


# -- versions of tomorrow


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("outbox-v1.json", Kind.OUTBOX),
        ("counters-v1.json", Kind.TOTALS),
        ("counters-v1.json", Kind.SUMS),
        ("leases-v1.json", Kind.LEASE),
        ("leases-v1.json", Kind.LEDGER),
        ("control-v2.json", Kind.CONTROL),
    ],
)
def test_an_unknown_version_of_any_kind_is_refused(name: str, kind: Kind, store: PartitionStore) -> None:
    stored = {
        key: b"\x63" + value[1:] if key[:1] == kind.value else value for key, value in golden(name).items()
    }
    store.apply(stored.items(), 0, 1)
    with pytest.raises(StateFormatError, match="version 99"):
        read_all(store)


def read_all(store: PartitionStore) -> None:
    """What a partition reads when it takes up with its store."""
    store.control()
    Outbox().restore(302, 300, store.scan(Kind.OUTBOX.value))
    Counters().load(store, 1)
    Leases(0).load(store, "h/1")
