"""What one event adds to a metric, by its data.

Rules of this module:

1.  Taking never raises, whatever the data. What the aggregate has no use for is None: the event does not
    count for this metric.
2.  Numbers are finite and within ±1e100. Texts, numbers and booleans are values; lists, objects and null
    are none.
3.  Values are told apart as JSON does: 1 and 1.0 are one value, true and "1" are others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.decision.conditions import Condition
from app.decision.ids import stable_hash
from app.decision.metrics.metric import TEXT_MAX, VALUE_MAX, Take, Value

Find = Callable[[object], object]


def taker(aggregate: str, field: tuple[str, ...], condition: Condition | None) -> Take | None:
    """What an event adds, as a function of its data; None when any event adds 1.

    Args:
        aggregate: The metric's.
        field: The path inside the data, empty for a count.
        condition: On `data.*`; events that fail it add nothing.
    """
    take = _field_taker(aggregate, field) if field else None
    if condition is None:
        return take
    return _filtered(take or _one, condition)


def number(value: object) -> float | None:
    """A number that can be summed, else None: a boolean is none."""
    # Written so that not-a-number fails it too; Python compares integers of any size with a float.
    if (type(value) is float or type(value) is int) and -VALUE_MAX <= value <= VALUE_MAX:
        return float(value)
    return None


def scalar(value: object) -> Value | None:
    """A value that can be kept, else None: texts of at most 1,024 characters, numbers of 64 bits."""
    if type(value) is str:
        return value if len(value) <= TEXT_MAX and _encodable(value) else None
    if type(value) is bool or (type(value) is int and -(2**63) <= value < 2**63):
        return value
    return number(value)


def hashed(value: object) -> int | None:
    """64 bits of a value, the same for the same value in every process, else None."""
    if type(value) is str:
        return stable_hash("text", value)
    if type(value) is bool:
        return stable_hash("boolean", value)
    amount = number(value)
    if amount is None:
        return None
    return stable_hash("number", int(amount) if amount.is_integer() else amount)


_USES: Mapping[str, Callable[[object], Value | None]] = {"last": scalar, "distinct": hashed}


def _field_taker(aggregate: str, field: tuple[str, ...]) -> Take:
    use = _USES.get(aggregate, number)
    if len(field) == 1:
        name = field[0]
        return lambda data: use(data.get(name)) if isinstance(data, dict) else None
    find = _finder(field)
    return lambda data: use(find(data))


def _finder(field: tuple[str, ...]) -> Find:
    def find(data: object) -> object:
        value = data
        for name in field:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return find


def _filtered(take: Take, condition: Condition) -> Take:
    def filtered(data: object) -> Value | None:
        fields = data if isinstance(data, dict) else {}
        return take(data) if condition({"data": fields}) else None

    return filtered


def _one(data: object) -> float:
    return 1.0


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
