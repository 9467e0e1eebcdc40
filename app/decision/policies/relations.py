"""What else was offered: cross_channel_cap, category_suppression and mutual_exclusion.

Rules of this module:

1.  They compare each candidate with the contacts related to it: with its own offer (over all channels), with
    its own category, or with the other offers of a group. Scopes say which candidates they block; contacts
    count wherever they were made.
2.  category_suppression in the scope of a category is about that category. In any other scope it is about
    the category of the candidate's offer.
3.  mutual_exclusion holds for candidates of the group alone. Without a window it looks at the candidates of
    this very decision only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from app.decision.entities import ContactPolicy, DurationMs, Part, Ref
from app.decision.index import EntityIndex
from app.decision.loading import load_struct
from app.decision.policies.caps import CountConfig
from app.decision.policies.rules import Reference, Rule, ids_of, listed
from app.decision.policies.windows import CountingWindow, window_of
from app.decision.problems import Problem, join


class SuppressionConfig(Part, frozen=True, kw_only=True):
    """No other offer of the category for so long."""

    window_ms: DurationMs


class ExclusionConfig(Part, frozen=True, kw_only=True):
    """Offers of which a customer gets one, for so long."""

    offer_ids: Annotated[tuple[Ref, ...], Meta(max_length=1_000)]
    window_ms: DurationMs | None = None


class OfferCap(Rule, frozen=True):
    """Blocks a candidate when the contacts for its offer, over all channels, reach the maximum."""

    window: CountingWindow
    most: int


class CategorySuppression(Rule, frozen=True):
    """Blocks a candidate when any offer of its category was delivered in the window."""

    window: CountingWindow


class Exclusion(Rule, frozen=True):
    """Blocks a candidate of the group when another offer of it was delivered, or stands higher."""

    offer_ids: tuple[str, ...]
    window: CountingWindow | None
    #: The same offers, to ask whether one is of the group; only of a resolved one.
    members: frozenset[str] = frozenset()

    def references(self) -> Iterator[Reference]:
        """Its offers."""
        return listed(self.offer_ids, "offerIds", "offers")

    def resolved(self, index: EntityIndex) -> Exclusion:
        """The group with its offers by id."""
        offer_ids = ids_of(self.offer_ids, "offers", index)
        return msgspec.structs.replace(self, offer_ids=offer_ids, members=frozenset(offer_ids))


def cross_channel_cap(policy: ContactPolicy, at: str) -> OfferCap | list[Problem]:
    """The cap of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(CountConfig, policy.config, at)
    if isinstance(config, list):
        return config
    window = window_of(config.window_ms, policy.calendar, join(at, "windowMs"))
    return [window] if isinstance(window, Problem) else OfferCap(window, config.max)


def category_suppression(policy: ContactPolicy, at: str) -> CategorySuppression | list[Problem]:
    """The suppression of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(SuppressionConfig, policy.config, at)
    if isinstance(config, list):
        return config
    window = window_of(config.window_ms, policy.calendar, join(at, "windowMs"))
    return [window] if isinstance(window, Problem) else CategorySuppression(window)


def mutual_exclusion(policy: ContactPolicy, at: str) -> Exclusion | list[Problem]:
    """The group of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(ExclusionConfig, policy.config, at)
    if isinstance(config, list):
        return config
    if len(set(config.offer_ids)) < 2:
        return [Problem(join(at, "offerIds"), "must name at least two offers, of which one excludes another")]
    if config.window_ms is None:
        if policy.calendar:
            return [Problem(join(at, "windowMs"), "is required with calendar: true")]
        return Exclusion(config.offer_ids, None)
    window = window_of(config.window_ms, policy.calendar, join(at, "windowMs"))
    return [window] if isinstance(window, Problem) else Exclusion(config.offer_ids, window)
