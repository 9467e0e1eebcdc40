"""What each kind of qualification rule compares.

Rules of this module:

1.  A kind makes a test of its config, or the problems with it, each with its path. Testing never fails.
2.  A test on the customer and the request alone is asked once a request, one on the offer once an offer.
3.  An attribute condition's bare field is an attribute of the customer, a metric condition's a metric.
4.  An event exactly `withinMs` old is no longer within it, as with every window; one stamped ahead of now is.
    The customer's events are the last 50 within 30 days, so a longer time is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.decision.candidate import Candidate
from app.decision.conditions import NAMESPACES, compile_leaf, field_reader
from app.decision.entities import Part, Ref, Unit
from app.decision.formula import compile_formula
from app.decision.known import Known
from app.decision.loading import load_struct
from app.decision.operators import ALIASES
from app.decision.outcomes import SYSTEM_OUTCOMES, canonical_event_type
from app.decision.problems import Problem, join
from app.decision.state import RECENT_WINDOW_MS

#: What only filters and expressions read; an attribute of such a name is customer.<name>.
_OF_CANDIDATES = frozenset({"offer", "creative"})

#: Finds the id of a kind's entity by id or key.
Resolve = Callable[[str, str], str | None]


class ConditionConfig(Part, frozen=True, kw_only=True):
    """A rule's config of kind attribute_condition or metric_condition."""

    field: str
    operator: str
    value: Any = None
    on_missing: Literal["fail", "pass"] = "fail"


class SegmentConfig(Part, frozen=True, kw_only=True):
    """The customer must be in one of these segments."""

    segment_ids: Annotated[tuple[Ref, ...], Meta(min_length=1, max_length=100)]


class PropensityConfig(Part, frozen=True, kw_only=True):
    """The offer's propensity must be at least this."""

    min: Unit


class RecencyConfig(Part, frozen=True, kw_only=True):
    """The customer must have had (`invert`: must not have had) such an event within this time."""

    event_type: Annotated[str, Meta(min_length=1, max_length=256)]
    within_ms: Annotated[int, Meta(ge=1, le=RECENT_WINDOW_MS)]
    invert: bool = False


class ExpressionConfig(Part, frozen=True, kw_only=True):
    """The formula must give a truthy value; null is none."""

    formula: str


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """What every rule's test says of itself."""

    #: The fields of the customer that it reads, with their namespace.
    fields: tuple[str, ...] = ()
    #: What it refers to: path in the config, id or key, kind.
    references: tuple[tuple[str, str, str], ...] = ()


class CustomerTest(Test, frozen=True, kw_only=True):
    """A test on the customer and the request."""

    holds: Callable[[Known], bool]
    #: What was compared, for a trace.
    numbers: Callable[[Known], dict[str, Any]]


class OfferTest(Test, frozen=True, kw_only=True):
    """A test on a candidate's offer too; all candidates of an offer have the same result."""

    holds: Callable[[Known, Candidate], bool]
    #: What was compared, for a trace.
    numbers: Callable[[Known, Candidate], dict[str, Any]]


Compile = Callable[[dict[str, Any], str, Resolve], CustomerTest | OfferTest | list[Problem]]


def _condition(home: str, allowed: frozenset[str]) -> Compile:
    """A kind that compares one field; `home` is the namespace of a bare one."""

    def compile_kind(body: dict[str, Any], path: str, resolve: Resolve) -> CustomerTest | list[Problem]:
        config = load_struct(ConditionConfig, body, path)
        if isinstance(config, list):
            return config
        space, dot, _ = config.field.partition(".")
        if dot and space in _OF_CANDIDATES:
            message = "rules of this kind do not read offers: use a filter of the flow, or kind expression"
            return [Problem(join(path, "field"), message)]
        bare = space not in NAMESPACES
        field = f"{home}.{config.field}" if bare else config.field
        missing = config.on_missing == "pass"
        holds = compile_leaf(field, config.operator, config.value, allowed, path, missing)
        if isinstance(holds, list):
            return holds
        read = field_reader(field)
        operator = ALIASES.get(config.operator, config.operator)
        return CustomerTest(
            holds=lambda known: holds(known.environment),
            numbers=lambda known: {
                "field": field,
                "operator": operator,
                "expected": config.value,
                "actual": read(known.environment),
            },
            fields=(field,),
            references=(("field", field.removeprefix("metrics."), "behavioral-metrics"),)
            if field.startswith("metrics.")
            else (),
        )

    return compile_kind


def _segment_required(body: dict[str, Any], path: str, resolve: Resolve) -> CustomerTest | list[Problem]:
    config = load_struct(SegmentConfig, body, path)
    if isinstance(config, list):
        return config
    ids = tuple(resolve("segments", reference) or reference for reference in config.segment_ids)
    return CustomerTest(
        holds=lambda known: any(map(known.in_segment, ids)),
        numbers=lambda known: {"segmentIds": list(ids), "in": list(filter(known.in_segment, ids))},
        references=tuple(
            (f"segmentIds[{i}]", reference, "segments") for i, reference in enumerate(config.segment_ids)
        ),
    )


def _propensity_threshold(body: dict[str, Any], path: str, resolve: Resolve) -> OfferTest | list[Problem]:
    config = load_struct(PropensityConfig, body, path)
    if isinstance(config, list):
        return config
    return OfferTest(
        holds=lambda known, candidate: known.propensity_of(candidate) >= config.min,
        numbers=lambda known, candidate: {"propensity": known.propensity_of(candidate), "min": config.min},
    )


def _recency_check(body: dict[str, Any], path: str, resolve: Resolve) -> CustomerTest | list[Problem]:
    config = load_struct(RecencyConfig, body, path)
    if isinstance(config, list):
        return config
    event_type, within_ms = canonical_event_type(config.event_type), config.within_ms

    def holds(known: Known) -> bool:
        age_ms = known.age_ms(event_type)
        return (age_ms is not None and age_ms < within_ms) is not config.invert

    return CustomerTest(
        holds=holds,
        numbers=lambda known: {
            "eventType": event_type,
            "ageMs": known.age_ms(event_type),
            "withinMs": within_ms,
            "invert": config.invert,
        },
        references=outcome_reference("eventType", config.event_type),
    )


def _expression(
    body: dict[str, Any], path: str, resolve: Resolve
) -> CustomerTest | OfferTest | list[Problem]:
    config = load_struct(ExpressionConfig, body, path)
    if isinstance(config, list):
        return config
    formula = compile_formula(config.formula)
    if isinstance(formula, list):
        return [Problem(join(path, "formula"), problem.in_words()) for problem in formula]
    evaluate = formula.evaluate
    fields = tuple(sorted(formula.fields))
    references = tuple([("formula", metric, "behavioral-metrics") for metric in formula.metrics])
    if formula.names:
        return OfferTest(
            holds=lambda known, candidate: bool(evaluate(known.environment_of(candidate))),
            numbers=lambda known, candidate: {
                "formula": formula.text,
                "result": evaluate(known.environment_of(candidate)),
            },
            fields=fields,
            references=references,
        )
    return CustomerTest(
        holds=lambda known: bool(evaluate(known.environment)),
        numbers=lambda known: {"formula": formula.text, "result": evaluate(known.environment)},
        fields=fields,
        references=references,
    )


def outcome_reference(path: str, event_type: str) -> tuple[tuple[str, str, str], ...]:
    """The outcome type of the tenant that an event type `outcome.<key>` refers to, if it does."""
    key = canonical_event_type(event_type).removeprefix("outcome.")
    if not event_type.startswith("outcome.") or key in SYSTEM_OUTCOMES:
        return ()
    return ((path, key, "outcome-types"),)


#: How each kind of qualification rule becomes a test.
RULE_KINDS: Mapping[str, Compile] = {
    "attribute_condition": _condition("customer", NAMESPACES - {"metrics"}),
    "metric_condition": _condition("metrics", frozenset({"metrics"})),
    "segment_required": _segment_required,
    "propensity_threshold": _propensity_threshold,
    "recency_check": _recency_check,
    "expression": _expression,
}


def compile_test(
    kind: str, body: dict[str, Any], path: str, resolve: Resolve
) -> CustomerTest | OfferTest | list[Problem]:
    """The test of a rule of this kind, or what is wrong with its config."""
    compile_kind = RULE_KINDS.get(kind)
    if compile_kind is None:
        return [Problem("kind", f"{kind} is not evaluated in this version")]
    found = compile_kind(body, path, resolve)
    if isinstance(found, list):
        return found
    at_path = tuple((join(path, at), reference, target) for at, reference, target in found.references)
    return msgspec.structs.replace(found, references=at_path)
