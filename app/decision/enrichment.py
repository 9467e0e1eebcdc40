"""The values that conditions and templates read, by namespace.

Rules of this module:

1.  `customer.*` are the profile's attributes, `customer.tags` and `customer.consent` (by purpose or channel);
    `metrics.*` the tenant's behavioural metrics now; `attributes.*` and `context.*` the request's;
    `time.now_ms` the instant of the decision, which formulas call `now`.
2.  Tags and consent come before attributes of the same name.
3.  A metric is read when something asks for it, so a request pays only for those its rules use. One that
    the customer has no window of is counted from the recent events, once a request. Without events a
    count, sum and distinct is 0, any other missing; so is one that the tenant does not have.
4.  What a flow does not list in `enrich` is missing, see `visibility`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.decision.conditions import Environment
from app.decision.decision import CustomerView, DecisionRequest
from app.decision.metrics import CompiledMetric, Past, complete_since, read, window_of
from app.decision.state import Profile, Window
from app.decision.visibility import Visible

_OWN = frozenset({"tags", "consent"})
_NOBODY = Profile()


class CustomerFields:
    """`customer.*`: the profile's attributes by name, its tags and its consent.

    Args:
        profile: None for a customer without one.
        names: The only names that can be read; None for all.
    """

    __slots__ = ("_attributes", "_names", "_profile")

    def __init__(self, profile: Profile | None, names: frozenset[str] | None = None) -> None:
        self._profile = profile or _NOBODY
        self._names = names
        attributes: Mapping[str, object] = self._profile.attributes
        if names is not None:
            attributes = {name: value for name, value in attributes.items() if name in names}
        self._attributes = attributes

    def get(self, name: str, /) -> object:
        """The attribute's value; None when there is none."""
        return self._own(name) if name in _OWN else self._attributes.get(name)

    def _own(self, name: str) -> object:
        names = self._names
        if name == "tags":
            return self._profile.tags if names is None or "tags" in names else None
        consent = self._profile.consent
        if names is None or "consent" in names:
            return consent
        return {purpose: state for purpose, state in consent.items() if f"consent.{purpose}" in names}

    def all(self) -> dict[str, object]:
        """Everything known, by name."""
        found: dict[str, object] = {**self._attributes}
        tags, consent = self._own("tags"), self._own("consent")
        if isinstance(tags, tuple):
            found["tags"] = list(tags)
        if consent:
            found["consent"] = consent
        return found


class MetricFields:
    """`metrics.*`: the figures of one customer at one instant."""

    __slots__ = ("_found", "_metrics", "_now_ms", "_past", "_windows")

    def __init__(
        self,
        metrics: Mapping[str, CompiledMetric],
        windows: Mapping[str, Window],
        past: Past,
        now_ms: int,
    ) -> None:
        self._metrics = metrics
        self._windows = windows
        self._past = past
        self._now_ms = now_ms
        #: Windows counted from the past, by the metric's key; made when the first is needed.
        self._found: dict[str, Window] | None = None

    def get(self, name: str, /) -> object:
        """The figure now; None when it is missing, or the tenant has no such metric."""
        metric = self._metrics.get(name)
        return None if metric is None else read(self._window(metric), metric, self._now_ms)

    def _window(self, metric: CompiledMetric) -> Window:
        window = self._windows.get(metric.key)
        if window is not None and window.fingerprint == metric.fingerprint:
            return window
        if self._found is None:
            self._found = {}
        window = self._found.get(metric.key)
        if window is None:
            window = self._found[metric.key] = window_of(self._windows, metric, self._past)
        return window

    def all(self) -> dict[str, object]:
        """Every figure, by the metric's key."""
        return {metric.key: self.get(name) for name, metric in self._metrics.items()}

    def incomplete(self) -> dict[str, int]:
        """Since when (epoch ms) figures miss nothing, by the metric's key, where they may miss something."""
        since = {
            metric.key: complete_since(self._windows, metric, self._now_ms, self._past)
            for metric in self._metrics.values()
        }
        return {key: since_ms for key, since_ms in since.items() if since_ms is not None}


def enrich(visible: Visible, request: DecisionRequest, customer: CustomerView, now_ms: int) -> Environment:
    """The environment of one request.

    Args:
        visible: What the flow may know.
        request: Whose attributes and context are read.
        customer: Whose profile and metrics are read.
        now_ms: The instant at which metrics are read, epoch ms.
    """
    return {
        "customer": CustomerFields(customer.profile, visible.customer),
        "metrics": MetricFields(visible.metrics, customer.metrics, customer, now_ms),
        "attributes": request.attributes,
        "context": request.context,
        "time": {"now_ms": now_ms},
    }


def known_of(metrics: Mapping[str, CompiledMetric], customer: CustomerView, now_ms: int) -> Environment:
    """All that is known of a customer apart from any request: what segments read.

    Args:
        metrics: The tenant's active metrics by id and key.
        customer: Whose profile and metrics are read.
        now_ms: The instant at which metrics are read, epoch ms.
    """
    return {
        "customer": CustomerFields(customer.profile),
        "metrics": MetricFields(metrics, customer.metrics, customer, now_ms),
    }


def enriched_values(environment: Environment) -> dict[str, Any]:
    """What is known of the customer, by full name, as a trace shows it."""
    values: dict[str, Any] = {}
    for namespace in ("customer", "metrics"):
        fields = environment[namespace]
        if isinstance(fields, CustomerFields | MetricFields):
            values.update({f"{namespace}.{name}": value for name, value in fields.all().items()})
        if isinstance(fields, MetricFields):
            since = fields.incomplete()
            values.update({f"metrics.{key}.completeSinceMs": since_ms for key, since_ms in since.items()})
    return values
