"""The pools of a flow: its candidates by where they are wanted, each in order of rank.

Rules of this module:

1.  A creative, its channel and its own placement must be active, and so must a placement to fill. A creative
    without a placement fits every placement of its channel.
2.  A placement stands on one channel and a channel is of one type: what a request says beside the narrowest
    of the three decides only whether there is a pool at all. So there are as many pools as there are
    channels, types and placements, and one of everything; each is kept, an empty one too. What is not
    there has no pool and is not kept.
3.  Pools share their candidates: one for each creative and the placement that it would stand at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.decision.candidate import Candidate, Pool
from app.decision.entities import Channel, Creative, Offer, Placement
from app.decision.index import EntityIndex
from app.decision.schedule import ALWAYS_MS

#: Channel id, channel type, placement id: at most one of them, None for any.
_Wanted = tuple[str | None, str | None, str | None]
#: An offer, a creative of it, and the creative's channel.
_Triple = tuple[Offer, Creative, Channel]
#: Of what is not there.
NO_POOL = Pool()


class Pools:
    """The candidates of some offers of a flow, by where they are wanted.

    Args:
        index: The tenant's catalogue.
        offers: The offers, by id.
        make: The candidate that an offer and a creative of a channel make at a placement; None is the
            creative's own.
        order: Where a candidate stands, ascending; no two are equal.
    """

    __slots__ = ("_by_channel", "_homes", "_index", "_make", "_offers", "_order", "_pools")

    def __init__(
        self,
        index: EntityIndex,
        offers: Mapping[str, Offer],
        make: Callable[[Offer, Creative, Channel, Placement | None], Candidate],
        order: Callable[[Candidate], Any],
    ) -> None:
        self._index = index
        self._offers = offers
        self._make = make
        self._order = order
        self._pools: dict[_Wanted, Pool] = {}
        self._by_channel: dict[str, list[Candidate]] | None = None
        #: What can be shown, by channel and the creative's own placement; None until it is first asked for.
        self._homes: dict[tuple[str, str | None], list[_Triple]] | None = None

    def pool(self, channel: Channel | None, channel_type: str | None, placement: Placement | None) -> Pool:
        """The candidates wanted; None is any. The same object at every call, empty or not."""
        if placement is not None:
            home = self._index.channel(placement.channel_id)
            if home is None or (channel is not None and channel.id != home.id):
                return NO_POOL
            channel = home
        if channel is not None and channel_type not in (None, channel.type):
            return NO_POOL
        if placement is not None:
            wanted: _Wanted = (None, None, placement.id)
        elif channel is not None:
            wanted = (channel.id, None, None)
        else:
            wanted = (None, channel_type, None)
        found = self._pools.get(wanted)
        if found is None:
            if wanted[1] is not None and wanted[1] not in self._types():
                return NO_POOL
            found = self._pools[wanted] = self._build(wanted, placement)
        return found

    def warm(self, room: int) -> int:
        """Make the pools that requests can want, those without a placement first.

        Args:
            room: How many places in pools may be filled before it stops; an empty pool counts as one.

        Returns:
            What is left of `room`, 0 when it stopped; the pool that used it up is whole.
        """
        for channel, channel_type, placement in self._likely():
            if room <= 0:
                break
            room -= max(len(self.pool(channel, channel_type, placement).candidates), 1)
        return max(room, 0)

    def _likely(self) -> Iterable[tuple[Channel | None, str | None, Placement | None]]:
        yield None, None, None
        for channel in self._index.all("channels", Channel):
            if channel.status == "active":
                yield channel, None, None
        for channel_type in self._types():
            yield None, channel_type, None
        for placement in self._index.all("placements", Placement):
            if placement.status == "active":
                yield None, None, placement

    def _types(self) -> dict[str, None]:
        channels = self._index.all("channels", Channel)
        return dict.fromkeys(channel.type for channel in channels if channel.status == "active")

    def _build(self, wanted: _Wanted, placement: Placement | None) -> Pool:
        if placement is not None:
            candidates = self._at(placement)
            candidates.sort(key=self._order)
        elif wanted == (None, None, None):
            candidates = [self._make(*one, None) for triples in self._shown().values() for one in triples]
            candidates.sort(key=self._order)
        elif wanted[0] is not None:
            candidates = self._on_channels().get(wanted[0], [])
        else:
            anywhere = self.pool(None, None, None).candidates
            candidates = [one for one in anywhere if one.channel.type == wanted[1]]
        channels = {candidate.channel.id: candidate.channel for candidate in candidates}
        scheduled = any((one.start_ms, one.end_ms) != ALWAYS_MS for one in candidates)
        slots = placement.max_slots if placement is not None else None
        return Pool(tuple(candidates), tuple(channels.values()), scheduled, slots)

    def _on_channels(self) -> dict[str, list[Candidate]]:
        """The candidates of each channel in order, from one pass over all: there may be many channels."""
        if self._by_channel is None:
            self._by_channel = {}
            for one in self.pool(None, None, None).candidates:
                self._by_channel.setdefault(one.channel.id, []).append(one)
        return self._by_channel

    def _at(self, placement: Placement) -> list[Candidate]:
        """What can be shown at a placement: its own creatives, and those of its channel without one."""
        if placement.status != "active":
            return []
        shown, channel_id = self._shown(), placement.channel_id
        fitting = [*shown.get((channel_id, placement.id), []), *shown.get((channel_id, None), [])]
        return [self._make(*one, placement) for one in fitting]

    def _shown(self) -> dict[tuple[str, str | None], list[_Triple]]:
        if self._homes is None:
            self._homes = {}
            for creative in self._index.all("creatives", Creative) if self._offers else ():
                offer, home = self._offers.get(creative.offer_id), self._index.channel(creative.channel_id)
                own = self._index.placement(creative.placement_id)
                if offer is None or home is None or creative.status != "active" or home.status != "active":
                    continue
                if own is None or own.status == "active":
                    key = home.id, None if own is None else own.id
                    self._homes.setdefault(key, []).append((offer, creative, home))
        return self._homes
