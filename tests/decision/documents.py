"""Strategies for documents: any JSON, and JSON that is nearly right."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "computed",
            "a + 1",
            "b * customer.x",
            "1 +",
            "number",
            "a",
            "b",
            "global",
            "offer",
            "all",
            "active",
            "fit",
            "count",
            "2026-01-01T00:00:00Z",
            1,
            0,
        ]
    ),
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def nearly(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the right names and values that may be anything."""
    part = st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["scope", "id", "ids", "field", "operator", "value", "key", "type", "perDay", "max", "windowMs",
             "cooldownMs", "channelId", "method", "floor", "ruleIds", "default",
             "formula", "outputType"],
            SCALARS | st.lists(SCALARS, max_size=2),
        ),
    )  # fmt: skip
    return st.fixed_dictionaries(
        {}, optional=dict.fromkeys(names, ANY_JSON | part | st.lists(part, max_size=3))
    )
