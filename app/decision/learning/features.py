"""Features: the fields of a candidate that a model looks at.

Rules of this module:

1.  A field is `namespace.name`, as in conditions. A row gives a field's value, None when there is none.
2.  A number is itself, true is 1 and false 0. What is not finite, and anything else, is no number.
3.  A model looks at no more than 32 fields, each once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from app.decision.conditions import is_field
from app.decision.problems import Problem, join

#: A candidate's fields; the `get` of a dict is one.
FeatureRow = Callable[[str], object]

NAMESPACES = ("attributes", "context", "customer", "metrics", "offer")
FEATURES_MAX = 32


def number(value: object) -> float | None:
    """The value as a finite number, None when it is none."""
    if not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # an integer beyond any float
        return None
    return found if math.isfinite(found) else None


def feature_problems(fields: Sequence[str], path: str) -> list[Problem]:
    """What is wrong with a model's list of fields."""
    problems = []
    if not 1 <= len(fields) <= FEATURES_MAX:
        problems.append(Problem(path, f"must be 1 to {FEATURES_MAX} fields"))
    for i, field in enumerate(fields):
        here = join(path, f"[{i}]")
        if not is_field(field, NAMESPACES):
            starts = ", ".join(f"{namespace}.*" for namespace in NAMESPACES)
            problems.append(Problem(here, f"must be one of: {starts}"))
        elif field in fields[:i]:
            problems.append(Problem(here, f"{field} is there twice"))
    return problems
