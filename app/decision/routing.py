"""Which flow a request goes to, and what it means by a channel.

Rules of this module:

1.  The more exact route wins: channel and placement, then channel, then the default flow, then the active
    flow updated last. Between equals the one updated last wins, then the lower id.
2.  A placement tells its channel. A channel's type stands for each active channel of that type.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from app.decision.entities import Channel
from app.decision.flow import CompiledFlow
from app.decision.index import EntityIndex

_NEVER = datetime.min.replace(tzinfo=UTC)


class ChannelChoice(msgspec.Struct, frozen=True):
    """What a request means by a channel: one channel, or any of a type. Exactly one is set."""

    channel_id: str | None = None
    channel_type: str | None = None


class Router:
    """The routes of one tenant's active flows."""

    __slots__ = ("_by_type", "_fallback", "_index", "_places", "_routes")

    def __init__(self, index: EntityIndex, flows: Mapping[str, CompiledFlow]) -> None:
        self._index = index
        self._by_type: dict[str, list[str]] = {}
        for channel in index.all("channels", Channel):
            ids = self._by_type.setdefault(channel.type, [])
            if channel.status == "active":
                ids.append(channel.id)
        by_id = sorted(flows.values(), key=lambda flow: flow.flow_id)
        latest_first = sorted(by_id, key=lambda flow: flow.definition.updated_at or _NEVER, reverse=True)
        #: By flow: its place among equals.
        self._places = {flow.flow_id: place for place, flow in enumerate(latest_first)}
        #: (channel, placement or None) to flow.
        self._routes: dict[tuple[str, str | None], CompiledFlow] = {}
        for flow in latest_first:
            for route in flow.definition.routes:
                placement = index.placement(route.placement_id)
                home = index.channel(placement.channel_id if placement else route.channel_id)
                if home is None or (route.placement_id is not None and placement is None):
                    continue
                self._routes.setdefault((home.id, placement.id if placement else None), flow)
        defaults = [flow for flow in latest_first if flow.definition.default]
        self._fallback = next(iter([*defaults, *latest_first]), None)

    def channel(self, name: str) -> ChannelChoice | None:
        """What a channel's id, key or type means: the only active channel of a type is meant by it."""
        channel_id = self._index.id_of("channels", name)
        if channel_id is not None:
            return ChannelChoice(channel_id=channel_id)
        ids = self._by_type.get(name)
        if ids is None:
            return None
        return ChannelChoice(channel_id=ids[0]) if len(ids) == 1 else ChannelChoice(channel_type=name)

    def flow(self, channel: str | None, placement: str | None) -> CompiledFlow | None:
        """The flow whose route fits best, else the default or the latest; None without active flows."""
        found = self._index.placement(placement)
        named = channel if channel is not None or found is None else found.channel_id
        channel_ids = self._channel_ids(named)
        for placement_id in (found.id if found else None, None):
            keys = [(channel_id, placement_id) for channel_id in channel_ids]
            flows = [self._routes[key] for key in keys if key in self._routes]
            if flows:
                return min(flows, key=lambda flow: self._places[flow.flow_id])
        return self._fallback

    def _channel_ids(self, name: str | None) -> list[str]:
        if name is None:
            return []
        channel_id = self._index.id_of("channels", name)
        return [channel_id] if channel_id is not None else self._by_type.get(name, [])
