"""Leases: a budget is never overspent, whatever is lost, repeated or late; used up while customers come."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.leases import RECALL_EVERY_MS, Answer, Book, Holding, Share, answer, returned

PARTITIONS = 4

T = TypeVar("T")


def ask(book: Book, partition: int, heard: int, short: int = 0, limit: int = 160, now_ms: int = 0) -> Answer:
    return answer(book, partition, heard, short, limit, PARTITIONS, now_ms)


@pytest.mark.parametrize(
    ("limit", "short", "granted"),
    [
        (160, 0, 10),
        (160, 1, 10),
        (160, 25, 25),
        (16, 0, 1),
        (15, 0, 1),
        (8, 0, 1),
        (7, 0, None),
        (7, 1, 1),
        (3, 5, 3),
        (1, 1, 1),
        (0, 0, None),
        (0, 1, None),
    ],
)
def test_a_block_is_a_quarter_of_a_fair_share(limit: int, short: int, granted: int | None) -> None:
    assert ask(Book(), 0, 0, short, limit).granted == granted


def test_the_same_request_gets_the_same_grant() -> None:
    book = Book()
    first = ask(book, 1, 0)
    assert ask(book, 1, 0) == first == Answer(10)
    assert book.out == 10
    assert ask(book, 1, 10) == Answer(19)
    assert ask(book, 1, 0) == ask(book, 1, 10) == Answer(19)
    assert book.out == 19


def test_a_lowered_limit_grants_nothing_more() -> None:
    book = Book()
    assert ask(book, 0, 0) == Answer(10)
    assert ask(book, 1, 0, 1, limit=5).granted is None
    assert book.out == 10


@pytest.mark.parametrize("heard", [1, 150, 2**53])
def test_who_has_heard_of_more_than_was_granted_is_not_answered(heard: int) -> None:
    book = Book()
    assert ask(book, 2, heard, 1) == Answer()
    assert (book.out, book.shares) == (0, {})


def test_unspent_blocks_are_asked_back_when_nothing_is_left_and_somebody_is_short() -> None:
    book = Book({0: Share(10), 1: Share(5, 0, 5), 2: Share(5)})
    assert ask(book, 3, 0, 0, limit=20) == Answer()
    assert ask(book, 3, 0, 1, limit=20, now_ms=10_000) == Answer(None, (0, 2))
    assert ask(book, 3, 0, 1, limit=20, now_ms=10_000 + RECALL_EVERY_MS - 1) == Answer()
    returned(book, 0, 10, 4)
    assert ask(book, 3, 0, 1, limit=20, now_ms=10_001) == Answer(1)
    returned(book, 0, 10, 4)
    assert book.out == 17
    assert ask(book, 1, 5, 9, limit=17, now_ms=20_000) == Answer(None, (2, 3))


def test_blocks_are_asked_back_although_the_clock_was_ahead() -> None:
    book = Book({0: Share(20)})
    assert ask(book, 3, 0, 1, limit=20, now_ms=90_000_000) == Answer(None, (0,))
    assert ask(book, 3, 0, 1, limit=20, now_ms=10_000) == Answer(None, (0,))
    assert ask(book, 3, 0, 1, limit=20, now_ms=10_001) == Answer()


def test_what_is_given_back_is_never_more_than_what_is_left() -> None:
    holding = Holding(granted=10, spent=7)
    holding.give_back(5)
    assert (holding.returned, holding.left) == (3, 0)
    overspent = Holding(granted=3, spent=5)
    overspent.give_back(1)
    assert (overspent.returned, overspent.left) == (0, -2)


def copied(book: Book) -> Book:
    """As it is stored."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=Book)


@dataclass
class Partition:
    """A partition in the model: its durable lease; what is in memory since; what it holds back."""

    durable: Holding = field(default_factory=Holding)
    folded: Holding = field(default_factory=Holding)
    withheld: int = 0
    taking: int = 0
    #: Decisions whose records are on the log and not folded yet.
    underway: int = 0


@dataclass
class Market:
    """One budget, its owner and all partitions. What is sent may be lost, repeated and late."""

    limit: int
    chance: random.Random
    book: Book = field(default_factory=Book)
    durable_book: Book = field(default_factory=Book)
    partitions: list[Partition] = field(default_factory=lambda: [Partition() for _ in range(PARTITIONS)])
    #: On the way: to the owner, and to partitions.
    requests: list[tuple[int, int, int]] = field(default_factory=list)
    returns: list[tuple[int, int, int]] = field(default_factory=list)
    grants: list[tuple[int, int]] = field(default_factory=list)
    recalls: list[int] = field(default_factory=list)
    releases: list[tuple[int, int, int, int]] = field(default_factory=list)
    delivered: int = 0
    now_ms: int = 0

    def room(self, number: int) -> int:
        one = self.partitions[number]
        return one.folded.left - one.withheld - one.underway

    def deliver(self, number: int) -> None:
        if self.room(number) > 0:
            self.partitions[number].underway += 1
            self.delivered += 1

    def fold(self, number: int) -> None:
        """What is on the log is folded, whatever crashes: here, or by the next owner before it is ready."""
        one = self.partitions[number]
        one.folded.spent += one.underway
        one.durable.spent += one.underway
        one.underway = 0

    def ask(self, number: int) -> None:
        one = self.partitions[number]
        if one.withheld:
            # It is not known yet what is left.
            return
        self.requests.append((number, one.folded.granted, max(1 - self.room(number), 0)))

    def some(self, sent: list[T]) -> T | None:
        """One of them, any; it may come again."""
        if not sent:
            return None
        index = self.chance.randrange(len(sent))
        return sent[index] if self.chance.random() < 0.3 else sent.pop(index)

    def own(self) -> None:
        """The owner folds one of what was sent to it; it is durable before anybody hears of it."""
        request = self.some(self.requests)
        if request is not None:
            number, heard, short = request
            found = answer(self.book, number, heard, short, self.limit, PARTITIONS, self.now_ms)
            if self.chance.random() < 0.2:
                # A crash before the batch was written: it never happened.
                self.book = copied(self.durable_book)
                return
            if found.granted is not None:
                self.grants.append((number, found.granted))
            self.recalls.extend(found.recall)
        back = self.some(self.returns)
        if back is not None:
            number, granted, total = back
            returned(self.book, number, granted, total)
        self.durable_book = copied(self.book)

    def hear(self) -> None:
        """Partitions fold one of each kind that was sent to them."""
        grant = self.some(self.grants)
        if grant is not None:
            # The grant is on the log: it is folded again after a crash.
            self.partitions[grant[0]].folded.hear(grant[1])
            self.partitions[grant[0]].durable.hear(grant[1])
        number = self.some(self.recalls)
        if number is not None:
            one = self.partitions[number]
            releasing = [each for each in self.releases if each[0] == number and each[2] == one.taking]
            if not releasing:
                one.withheld = max(self.room(number), 0)
                self.releases.append((number, one.withheld, one.taking, one.folded.granted))
        if self.chance.random() < 0.5:
            self.release()

    def release(self) -> None:
        """A partition folds a release; one of a taking that is over is void."""
        if self.releases:
            number, amount, taking, heard = self.releases.pop(self.chance.randrange(len(self.releases)))
            one = self.partitions[number]
            if taking == one.taking:
                one.withheld = 0
                one.folded.give_back(amount)
                if self.chance.random() < 0.3:
                    self.crash(number)
                    return
                one.durable = msgspec.structs.replace(one.folded)
                self.returns.append((number, heard, one.folded.returned))

    def crash(self, number: int) -> None:
        self.fold(number)
        one = self.partitions[number]
        one.folded, one.withheld, one.taking = msgspec.structs.replace(one.durable), 0, one.taking + 1


def lose(market: Market) -> None:
    if market.requests:
        market.requests.pop()
    if market.recalls:
        market.recalls.pop()


steps = st.lists(
    st.tuples(st.sampled_from(["ask", "own", "hear", "deliver", "deliver", "fold", "crash", "lose", "limit"]),
              st.integers(0, PARTITIONS - 1)),
    max_size=300,
)  # fmt: skip


@settings(max_examples=300)
@given(st.integers(0, 10) | st.integers(0, 60), steps, st.integers(0, 2**32), st.booleans())
def test_a_budget_is_never_overspent_and_is_used_up(
    limit: int, done: list[tuple[str, int]], seed: int, alone: bool
) -> None:
    market = Market(limit, random.Random(seed))
    most = limit
    for what, number in done:
        market.now_ms += 200
        if what in ("own", "hear"):
            getattr(market, what)()
        elif what == "lose":
            lose(market)
        elif what == "ask":
            # Customers come to all.
            for each in range(PARTITIONS):
                market.deliver(each)
                market.ask(each)
                market.own()
        elif what == "limit":
            market.limit = (limit, limit // 2)[number % 2]
        else:
            getattr(market, what)(number)
        assert market.delivered <= most
        assert market.book.out <= most
    market.limit = limit
    for _ in range(2_000):
        if market.delivered == limit:
            break
        market.now_ms += 200
        for number in range(PARTITIONS):
            market.own()
            market.hear()
            # Customers may come to one partition only: the others give back what they hold.
            if number == 0 or not alone:
                if market.room(number) <= 0:
                    market.ask(number)
                market.deliver(number)
                market.fold(number)
    assert market.delivered == limit
