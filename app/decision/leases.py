"""Leases: how one budget is spent by many partitions without ever being overspent.

Rules of this module:

1.  The key's owner keeps a ledger: for each partition, how many deliveries it was ever granted and how many
    it ever gave back. The difference, over all partitions, never exceeds the limit because of a grant.
2.  All numbers are running totals: heard twice, late or out of order, the highest wins and nothing changes.
3.  A partition that asks says which of its grants it has heard. Only one that has heard all gets another;
    else it is told again. So a request may be repeated for ever, and each grant is given once.
4.  A partition spends at most what it was granted, less what it gave back. What it gives back, its fold
    takes from the lease before anybody else hears of it.
5.  A block is a quarter of a fair share of what is left, so that the last deliveries are not scattered. Who
    has nothing left and customers who ask gets at least one, as long as there is one; who only tops up gets
    none of the last few. When nothing is left, those who may hold unspent blocks are asked to return them.
6.  What customers reported beyond a lease (it happened) is spent all the same: the lease is short by so
    much, and grants fill that first.
"""

from __future__ import annotations

import msgspec

#: A fair share is dealt in so many blocks.
BLOCKS = 4

#: Blocks are asked back at most this often for one period of a key, in milliseconds.
RECALL_EVERY_MS = 1_000


class Holding(msgspec.Struct, array_like=True):
    """A partition's lease for one period: deliveries ever granted, ever given back, and made."""

    granted: int = 0
    returned: int = 0
    spent: int = 0

    @property
    def left(self) -> int:
        """Deliveries that may still be folded; below 0 when more happened than was granted."""
        return self.granted - self.returned - self.spent

    def hear(self, granted: int) -> bool:
        """Take in how much was ever granted; whether that is news."""
        if granted <= self.granted:
            return False
        self.granted = granted
        return True

    def give_back(self, deliveries: int) -> None:
        """Return so many of the deliveries left, or all when fewer are."""
        self.returned += max(min(deliveries, self.left), 0)


class Share(msgspec.Struct, array_like=True):
    """What the owner knows of one partition.

    `settled` is how much had ever been granted when the partition last said that nothing of it is unspent.
    """

    granted: int = 0
    returned: int = 0
    settled: int = 0


class Book(msgspec.Struct, array_like=True):
    """A key's ledger for one period, by partition; `recalled_ms` is when blocks were last asked back."""

    shares: dict[int, Share] = {}
    recalled_ms: int = 0

    @property
    def out(self) -> int:
        """Deliveries granted and not given back."""
        return sum(share.granted - share.returned for share in self.shares.values())


class Answer(msgspec.Struct, frozen=True):
    """What becomes of a request: how much was ever granted, None when there is nothing to say.

    `recall` are the partitions to ask for what they hold unspent.
    """

    granted: int | None = None
    recall: tuple[int, ...] = ()


_NOTHING = Share()


def answer(
    book: Book, partition: int, heard: int, short: int, limit: int, partitions: int, now_ms: int
) -> Answer:
    """Answer a partition's request for more, once: see the rules above. Changes the book.

    Args:
        book: the owner's, of one period.
        partition: who asks.
        heard: how much it says it was ever granted.
        short: how many it needs at once; 0 when it only tops up.
        limit: the most deliveries in the period.
        partitions: how many there are.
        now_ms: the batch's time.
    """
    ever = book.shares.get(partition, _NOTHING).granted
    if heard > ever:
        # Nobody can have heard of that: grants are durable here before they are told.
        return Answer()
    share = book.shares.setdefault(partition, Share())
    if heard < share.granted:
        return Answer(share.granted)
    if short > 0:
        share.settled = share.granted
    left = limit - book.out
    block = _block(left, short, partitions)
    if block > 0:
        share.granted += block
        return Answer(share.granted)
    # An instant ahead is of a clock that was set back: it holds nothing up.
    if short <= 0 or 0 <= now_ms - book.recalled_ms < RECALL_EVERY_MS:
        return Answer()
    holders = tuple(
        number
        for number, other in sorted(book.shares.items())
        if number != partition and other.granted > other.settled
    )
    if holders:
        book.recalled_ms = now_ms
    return Answer(None, holders)


def returned(book: Book, partition: int, granted: int, total: int) -> None:
    """A partition has ever given back so many, `total`, and holds nothing of the first `granted`."""
    share = book.shares.setdefault(partition, Share())
    share.returned = max(share.returned, min(total, share.granted))
    share.settled = max(share.settled, min(granted, share.granted))


def _block(left: int, short: int, partitions: int) -> int:
    if left <= 0:
        return 0
    share = left // (BLOCKS * partitions)
    if short > 0:
        return min(left, max(share, short))
    if share > 0:
        return share
    return 1 if left >= 2 * partitions else 0
