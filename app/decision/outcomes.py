"""The outcome types that every tenant has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from app.decision.entities import OutcomeType

#: Other names of system outcome types: the same type, so its counts are the same figure.
OUTCOME_ALIASES: Mapping[str, str] = MappingProxyType({"conversion": "convert"})

_CLASSIFIED: Mapping[Literal["positive", "neutral", "negative"], tuple[str, ...]] = {
    "neutral": ("impression", "defer"),
    "positive": ("click", "accept", "convert", "share", "save"),
    "negative": ("dismiss", "not_interested", "opt_out", "complaint"),
}

SYSTEM_OUTCOMES: Mapping[str, OutcomeType] = MappingProxyType(
    {
        key: OutcomeType(
            id=key,
            key=key,
            name=key,
            classification=classification,
            category="impression" if key == "impression" else "response",
        )
        for classification, keys in _CLASSIFIED.items()
        for key in keys
    }
)


def canonical_event_type(event_type: str) -> str:
    """The event type under which metrics count it: `outcome.conversion` is `outcome.convert`."""
    prefix, dot, key = event_type.partition(".")
    if prefix == "outcome" and dot:
        return f"outcome.{OUTCOME_ALIASES.get(key, key)}"
    return event_type
