"""Condition trees, checked once and compiled to closures.

Rules of this module:

1.  A condition is `{"all": [...]}`, `{"any": [...]}`, `{"not": {...}}` or `{"field", "operator", "value"}`.
2.  A field is `namespace.path`. A missing field, and null, fails every operator but `not_exists` (so also
    `neq` and `not_in`), unless the condition was compiled to pass it.
3.  A comparison of things that cannot be compared is false, never an exception. Any two values are equal or
    not; true and 1 are not.
4.  Everything that could go wrong goes wrong at compile time: what compiles can be evaluated on any input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from app.decision.operators import ALIASES, OPERATORS, Refusal
from app.decision.problems import Problem, join

#: What a field may begin with, in decisions.
NAMESPACES = frozenset({"customer", "metrics", "attributes", "context"})
DEPTH_MAX = 64
NODES_MAX = 1_000


class Fields(Protocol):
    """The values of one namespace by name; a dict is one."""

    def get(self, name: str, /) -> object: ...


#: The values a condition is evaluated on, by namespace.
Environment = Mapping[str, Fields]
Condition = Callable[[Environment], bool]
Reader = Callable[[Environment], object]


def compile_condition(
    tree: object, namespaces: Collection[str], path: str = "condition"
) -> Condition | list[Problem]:
    """The condition as a function of an environment, or what is wrong with it.

    Args:
        tree: A decoded condition tree, of any shape.
        namespaces: What a field may begin with.
        path: Where the tree stands in its document.
    """
    problems: list[Problem] = []
    nodes = iter(range(NODES_MAX))
    try:
        compiled = _tree(tree, namespaces, path, 1, nodes, problems)
    except Refusal as refusal:
        problems.append(refusal.problem)
        return problems
    return problems or compiled


def compile_leaf(
    field: str, operator: object, value: object, namespaces: Collection[str], path: str, missing: bool = False
) -> Condition | list[Problem]:
    """One comparison as a function of an environment, or what is wrong with it.

    Args:
        field: `namespace.path`.
        operator: An operator or one of its long names.
        value: What to compare with.
        namespaces: What the field may begin with.
        path: Where the comparison stands in its document.
        missing: What the comparison says when the field is missing.
    """
    try:
        return _leaf(field, operator, value, namespaces, path, missing)
    except Refusal as refusal:
        return [refusal.problem]


def field_reader(field: str) -> Reader:
    """A function that finds `namespace.path` in an environment: its value, None when there is none.

    A name that itself holds dots is found before the path through nested objects. What follows
    `customer.consent.` is a purpose or channel, never an attribute.
    """
    namespace, _, name = field.partition(".")
    steps = name.split(".")
    if len(steps) == 1:
        return lambda environment: environment[namespace].get(name)
    if namespace == "customer" and steps[0] == "consent":
        return _consent_reader(name.removeprefix("consent."))

    def read(environment: Environment) -> object:
        fields = environment[namespace]
        found = fields.get(name)
        if found is not None:
            return found
        found = fields.get(steps[0])
        for step in steps[1:]:
            if not isinstance(found, dict):
                return None
            found = found.get(step)
        return found

    return read


def _consent_reader(purpose: str) -> Reader:
    def read(environment: Environment) -> object:
        consent = environment["customer"].get("consent")
        return consent.get(purpose) if isinstance(consent, Mapping) else None

    return read


def _tree(
    tree: object,
    namespaces: Collection[str],
    path: str,
    depth: int,
    nodes: Iterator[int],
    problems: list[Problem],
) -> Condition:
    """One node; problems of members are collected, so that all come at once."""
    if depth > DEPTH_MAX:
        raise Refusal(path, f"is nested deeper than {DEPTH_MAX} levels")
    if next(nodes, None) is None:
        raise Refusal(path, f"has more than {NODES_MAX} conditions")
    if not isinstance(tree, dict):
        raise Refusal(path, "must be an object with all, any, not, or field and operator")
    joint = next((name for name in ("all", "any", "not") if name in tree), None)
    if joint is None:
        return _comparison(tree, namespaces, path, problems)
    if len(tree) > 1:
        raise Refusal(path, f"has {joint} and something else beside it")
    here = join(path, joint)
    if joint == "not":
        negated = _tree(tree["not"], namespaces, here, depth + 1, nodes, problems)
        return lambda environment: not negated(environment)
    members = tree[joint]
    if not isinstance(members, list) or not members:
        raise Refusal(here, "must be a list of at least one condition")
    parts = tuple(
        _tree(member, namespaces, join(here, f"[{i}]"), depth + 1, nodes, problems)
        for i, member in enumerate(members)
    )
    return _all(parts) if joint == "all" else _any(parts)


def _all(parts: tuple[Condition, ...]) -> Condition:
    def holds(environment: Environment) -> bool:
        return all(part(environment) for part in parts)

    return holds


def _any(parts: tuple[Condition, ...]) -> Condition:
    def holds(environment: Environment) -> bool:
        return any(part(environment) for part in parts)

    return holds


def _comparison(
    tree: dict[str, Any], namespaces: Collection[str], path: str, problems: list[Problem]
) -> Condition:
    for name in tree:
        if name not in ("field", "operator", "value"):
            problems.append(Problem(join(path, str(name)), "is not part of a condition"))
    for name in ("field", "operator"):
        if name not in tree:
            problems.append(Problem(join(path, name), "is required"))
    if "field" not in tree or "operator" not in tree:
        return _never
    try:
        return _leaf(tree["field"], tree["operator"], tree.get("value"), namespaces, path, False)
    except Refusal as refusal:
        problems.append(refusal.problem)
        return _never


def _never(environment: Environment) -> bool:
    return False


def _leaf(
    field: object, operator: object, value: object, namespaces: Collection[str], path: str, missing: bool
) -> Condition:
    if not isinstance(field, str) or not is_field(field, namespaces):
        starts = ", ".join(f"{namespace}.*" for namespace in sorted(namespaces))
        raise Refusal(join(path, "field"), f"must be one of: {starts}")
    name = ALIASES.get(operator, operator) if isinstance(operator, str) else operator
    read = field_reader(field)
    if name in ("exists", "not_exists"):
        if value is not None and value is not True:
            raise Refusal(join(path, "value"), f"{name} compares with nothing; leave the value out")
        return _exists(read) if name == "exists" else _not_exists(read)
    make = OPERATORS.get(name) if isinstance(name, str) else None
    if make is None:
        known = ", ".join([*OPERATORS, "exists", "not_exists"])
        raise Refusal(join(path, "operator"), f"must be one of: {known}")
    test = make(value, join(path, "value"))

    def holds(environment: Environment) -> bool:
        found = read(environment)
        return missing if found is None else test(found)

    return holds


def is_field(field: str, namespaces: Collection[str]) -> bool:
    """Whether this is `namespace.name` of one of these namespaces."""
    namespace, dot, name = field.partition(".")
    return bool(dot) and namespace in namespaces and bool(name) and len(field) <= 256


def _exists(read: Reader) -> Condition:
    return lambda environment: read(environment) is not None


def _not_exists(read: Reader) -> Condition:
    return lambda environment: read(environment) is None
