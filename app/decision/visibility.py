"""What a flow may know of a customer: the fields that its `enrich` lists.

Rules of this module:

1.  None listed means all. A field is `customer.<attribute>`, `customer.tags`, `customer.consent` (or one
    purpose of it), `metrics.<id or key>`, or `customer.*` and `metrics.*` for all of them.
2.  What is not listed is missing: for rules, filters, templates, scores and traces of the flow. Segments and
    contact policies are the tenant's, not the flow's: they read everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from app.decision.metrics import CompiledMetric
from app.decision.problems import Problem

EVERYTHING = "*"
_CUSTOMER, _METRICS = "customer.", "metrics."


class Visible(msgspec.Struct, frozen=True):
    """What a flow may know. `customer` holds the names after `customer.`, None for all."""

    customer: frozenset[str] | None
    #: The metrics that it may read, by id and by key.
    metrics: Mapping[str, CompiledMetric]

    def covers(self, field: str) -> bool:
        """Whether a field can be read; those of the request and the offer always can."""
        if field.startswith(_METRICS):
            return field.removeprefix(_METRICS) in self.metrics
        if self.customer is None or not field.startswith(_CUSTOMER):
            return True
        name = field.removeprefix(_CUSTOMER)
        return name in self.customer or (name.startswith("consent.") and "consent" in self.customer)


def compile_visible(fields: tuple[str, ...], metrics: Mapping[str, CompiledMetric]) -> Visible:
    """What a flow that lists these fields may know.

    Args:
        fields: As in `enrich.fields`, checked by `problems_of_fields`; none lists all.
        metrics: The tenant's active metrics by id and by key.
    """
    if not fields:
        return Visible(None, metrics)
    customer = frozenset(one.removeprefix(_CUSTOMER) for one in fields if one.startswith(_CUSTOMER))
    names = {one.removeprefix(_METRICS) for one in fields if one.startswith(_METRICS)}
    listed = {metrics[name].key for name in names if name in metrics}
    return Visible(
        None if EVERYTHING in customer else customer,
        {name: metric for name, metric in metrics.items() if EVERYTHING in names or metric.key in listed},
    )


def problems_of_fields(fields: tuple[str, ...]) -> Iterator[Problem]:
    """What is wrong with the names in `enrich.fields`, the metrics' existence aside."""
    for i, field in enumerate(fields):
        namespace, dot, name = field.partition(".")
        if not dot or not name or namespace not in ("customer", "metrics"):
            yield Problem(
                f"enrich.fields[{i}]", "must be customer.<name>, metrics.<key>, customer.* or metrics.*"
            )


def metrics_listed(fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The metrics that `enrich.fields` names, each with its path."""
    for i, field in enumerate(fields):
        if field.startswith(_METRICS) and field != _METRICS + EVERYTHING:
            yield f"enrich.fields[{i}]", field.removeprefix(_METRICS)
