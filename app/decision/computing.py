"""The compute stage: what an offer's computed fields give for one customer.

Rules of this module:

1.  The formulas of an offer are evaluated together, each after those that it reads. A formula reads the
    offer's value of a plain field, else the field's default, and the results of other formulas.
2.  A result that is not of the field's `outputType` is null. A date is text of ISO 8601.
3.  A field whose formula does not compile is left out; where fields read each other in a circle, all are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from app.decision.conditions import Environment, Fields
from app.decision.custom_fields import compile_computed, value_fits
from app.decision.entities import CustomField
from app.decision.formula import Value, instant_ms, order_computed
from app.decision.formula.values import Evaluate


class _Step(msgspec.Struct, frozen=True):
    """One computed field."""

    key: str
    evaluate: Evaluate
    fits: Callable[[Value], bool]


class Computing:
    """The computed fields of an offer's categories, ready to evaluate."""

    __slots__ = ("_steps",)

    def __init__(self, steps: tuple[_Step, ...]) -> None:
        self._steps = steps

    def values(self, environment: Environment, offer_fields: Mapping[str, Any]) -> dict[str, Value]:
        """The computed values by key, null where there is none. Never raises.

        Args:
            environment: What is known of the customer and the request.
            offer_fields: The offer's plain fields, defaults included.
        """
        fields = dict(offer_fields)
        inner: dict[str, Fields] = {**environment, "offer": fields}
        values: dict[str, Value] = {}
        for step in self._steps:
            value = step.evaluate(inner)
            values[step.key] = fields[step.key] = value if step.fits(value) else None
        return values


def compile_computing(fields: Mapping[str, CustomField]) -> Computing | None:
    """The computed fields among these, ready to evaluate; None when there are none."""
    formulas, _ = compile_computed(fields)
    order = order_computed(formulas)
    if isinstance(order, list) or not order:
        return None
    return Computing(
        tuple(_Step(key, formulas[key].evaluate, _test(fields[key].output_type)) for key in order)
    )


def _test(output_type: str | None) -> Callable[[Value], bool]:
    """Whether a value is what the field is to give."""
    if output_type is None:
        return lambda value: True
    if output_type == "date":
        return lambda value: isinstance(value, str) and instant_ms(value) is not None
    return lambda value: value_fits(output_type, value)
