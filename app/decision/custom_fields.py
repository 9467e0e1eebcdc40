"""The custom fields that categories give their offers.

Rules of this module:

1.  An offer has the fields of its category, that category's parent and its subcategory. Where two define
    the same key, the subcategory's counts.
2.  A computed field has a formula instead of a value. It reads fields of its own category and of that
    category's parent: those every offer with the formula has. Computed fields never read each other in a
    circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.decision.entities import Category, CustomField
from app.decision.formula import Cycle, Formula, compile_formula, order_computed
from app.decision.formula.dates import instant_ms
from app.decision.index import EntityIndex
from app.decision.problems import Problem


def custom_fields_of(category_ids: Iterable[str], index: EntityIndex) -> dict[str, CustomField]:
    """The custom fields of an offer in these categories, by key."""
    found = [category for one in category_ids if (category := index.category(one)) is not None]
    found.sort(key=lambda category: category.parent_id is not None)
    return {field.key: field for category in found for field in category.custom_fields}


def value_fits(wanted: str, value: Any) -> bool:
    """Whether a value is of a custom field's type; a date is text of ISO 8601, as in formulas."""
    if wanted == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted == "boolean":
        return isinstance(value, bool)
    if wanted == "date":
        return isinstance(value, str) and instant_ms(value) is not None
    return isinstance(value, str)


def field_problems(category: Category) -> Iterator[Problem]:
    """What is wrong with a category's custom fields, seen by themselves."""
    seen: set[str] = set()
    for i, field in enumerate(category.custom_fields):
        path = f"customFields[{i}]"
        if field.key in seen:
            yield Problem(f"{path}.key", f"{field.key} is used twice")
        seen.add(field.key)
        if field.type == "computed":
            yield from _computed(field, path)
        else:
            yield from _plain(field, path)


def _plain(field: CustomField, path: str) -> Iterator[Problem]:
    if field.default is not None and not value_fits(field.type, field.default):
        yield Problem(f"{path}.default", f"must be a {field.type}")
    if field.formula is not None:
        yield Problem(f"{path}.formula", "has no effect here; leave it out or choose type computed")
    if field.output_type is not None:
        yield Problem(f"{path}.outputType", "has no effect here; leave it out or choose type computed")


def _computed(field: CustomField, path: str) -> Iterator[Problem]:
    if field.default is not None:
        yield Problem(f"{path}.default", "has no effect on a computed field; use coalesce in its formula")
    if field.required:
        yield Problem(f"{path}.required", "has no effect on a computed field; leave it out")
    if field.formula is None:
        yield Problem(f"{path}.formula", "is required for type computed")
    else:
        compiled = compile_formula(field.formula)
        if isinstance(compiled, list):
            yield from (Problem(f"{path}.formula", one.in_words()) for one in compiled)


def compile_computed(
    fields: Mapping[str, CustomField],
) -> tuple[dict[str, Formula], dict[str, list[Problem]]]:
    """The formulas of the computed fields among these, by key, and what is wrong with the others.

    The problems' paths are empty: only a category's document knows the place of a field in it.
    """
    formulas: dict[str, Formula] = {}
    problems: dict[str, list[Problem]] = {}
    for key, field in fields.items():
        if field.type == "computed":
            compiled = compile_formula(field.formula, fields)
            if isinstance(compiled, list):
                problems[key] = [Problem("", one.in_words()) for one in compiled]
            else:
                formulas[key] = compiled
    return formulas, problems


def computed_problems(at: str, category: Category, index: EntityIndex) -> Iterator[Problem]:
    """What is wrong with a category's computed fields, seen with its parent's."""
    formulas, problems = compile_computed(custom_fields_of(index.category_ids(category.id), index))
    own = {field.key: f"{at}.customFields[{i}].formula" for i, field in enumerate(category.custom_fields)}
    for key, path in own.items():
        yield from (Problem(path, one.message) for one in problems.get(key, ()))
    order = order_computed(formulas)
    for cycle in order if isinstance(order, list) else ():
        yield from _circle(cycle, own)


def _circle(cycle: Cycle, own: Mapping[str, str]) -> Iterator[Problem]:
    """The problem of a circle, at the category's first field in it; one without any is its parent's."""
    path = next((own[name] for name in cycle.names if name in own), None)
    if path is not None:
        yield Problem(path, f"computed fields read each other in a circle: {cycle.in_words()}")


def formula_fields(category: Category) -> Iterator[tuple[str, str]]:
    """The fields (`customer.age`) that a category's formulas read, each with its path."""
    for i, field in enumerate(category.custom_fields):
        compiled = compile_formula(field.formula) if field.type == "computed" else []
        if isinstance(compiled, Formula):
            yield from ((name, f"customFields[{i}].formula") for name in sorted(compiled.fields))
