"""Every metric a worker exposes, in one typed registry.

Names are ``offertide_<what>_<unit>``: counters end in ``_total``, times in ``_seconds``; a gauge that counts
things is named after them. Labels take few values: never a customer, a tenant or a path with an id in it.
``python -m config.metrics`` prints ``docs/metrics.md``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

NAMESPACE = "offertide"
#: Bounds in seconds of what a caller waits for. The bars (10, 25 and 50 ms) are bounds, to be alerted on.
LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: Bounds in seconds of the decision core alone; its bar is 180 µs.
DECISION_BUCKETS_SECONDS = (0.00005, 0.0001, 0.00018, 0.0003, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.04, 0.1)


class About:
    """What a metric says, its labels in order, and a histogram's bounds in seconds."""

    def __init__(
        self, help_text: str, *labels: str, buckets: tuple[float, ...] = LATENCY_BUCKETS_SECONDS
    ) -> None:
        self.help_text = help_text
        self.labels = labels
        self.buckets = buckets


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One worker's metrics, each in ``registry`` under ``offertide_`` and the name of its field."""

    registry: CollectorRegistry

    # Folding
    records_folded_total: Annotated[Counter, About("Records folded into customer state.", "topic")]
    records_skipped_total: Annotated[Counter, About("Records met again and not counted twice.", "topic")]
    dead_letters_total: Annotated[Counter, About("Records kept as dead letters instead of folded.", "reason")]
    rekeyed_total: Annotated[Counter, About("Records sent on, another partition owning their customer.")]
    erasures_total: Annotated[Counter, About("Customers erased.")]
    records_erased_total: Annotated[
        Counter, About("Records of before their customer's erasure that were folded after it, nothing kept.")
    ]
    batches_total: Annotated[Counter, About("Micro-batches written to changelog and store.")]
    batch_seconds: Annotated[Histogram, About("From a micro-batch's first fold to its write in the store.")]
    batch_failures_total: Annotated[Counter, About("Micro-batches that stopped their partition.", "reason")]
    changelog_bytes_total: Annotated[Counter, About("Bytes of keys and values appended to changelogs.")]
    changelog_records_total: Annotated[Counter, About("Records appended to changelogs.")]
    outbox_pending: Annotated[Gauge, About("Derived records in the state, their publication not confirmed.")]

    # Partitions
    partition_ready: Annotated[
        Gauge, About("1 while this worker answers from the partition, else 0.", "partition")
    ]
    partition_lag_records: Annotated[
        Gauge, About("Records of the partition not folded yet.", "topic", "partition")
    ]
    kafka_silence_seconds: Annotated[
        Gauge, About("Since Kafka last answered a fetch, of the partition of which it is longest.")
    ]
    recovery_records_total: Annotated[Counter, About("Changelog records applied to rebuild or follow state.")]
    recovery_left_records: Annotated[
        Gauge, About("Changelog records left to read before a partition is recovered.", "partition")
    ]
    standby_lag_records: Annotated[
        Gauge, About("Changelog records that this worker's standby has not read yet.", "partition")
    ]
    recoveries_total: Annotated[Counter, About("Recoveries of a partition.", "reason")]

    # Across customers
    totals_published_total: Annotated[Counter, About("Running totals told to their keys' owners.")]
    scores_published_total: Annotated[Counter, About("Sums over all partitions written to the scoreboard.")]
    scoreboard_entries: Annotated[Gauge, About("Keys on this worker's scoreboard.")]
    shared_totals: Annotated[Gauge, About("Totals and sums that this worker's partitions hold in memory.")]
    leases_wanted_total: Annotated[Counter, About("Requests for more of a budget, repeated ones included.")]
    leases_returned_total: Annotated[Counter, About("Deliveries of budgets that were asked back.")]
    budget_overspent_total: Annotated[
        Counter, About("Deliveries reported beyond what their partition was granted of a budget.")
    ]

    # Reading one's own writes
    waiters: Annotated[Gauge, About("Requests waiting for the fold of their own record.")]
    waiters_expired_total: Annotated[Counter, About("Requests whose record was not seen folded in time.")]
    overlays: Annotated[Gauge, About("Decisions answered whose record is not folded yet.")]
    cache_customers: Annotated[Gauge, About("Decoded customers in memory.")]
    cache_hits_total: Annotated[Counter, About("Customers found decoded in memory.")]
    cache_misses_total: Annotated[Counter, About("Customers read from the store and decoded.")]

    # Spool
    spool_bytes: Annotated[Gauge, About("Bytes on this worker's disk of events that Kafka did not take.")]
    spool_records: Annotated[Gauge, About("Events on this worker's disk that Kafka did not take.")]
    spool_oldest_age_seconds: Annotated[Gauge, About("Since the oldest event of the spool was taken.")]
    spool_appended_total: Annotated[Counter, About("Events written to the spool.")]
    spool_published_total: Annotated[Counter, About("Events of the spool that Kafka has taken.")]
    spool_refused_total: Annotated[Counter, About("Events that the spool did not take either.", "reason")]
    spool_damaged_total: Annotated[Counter, About("Parts of the spool that were damaged and set aside.")]
    spool_publish_failures_total: Annotated[
        Counter, About("Attempts to publish from the spool that Kafka did not confirm.")
    ]

    # HTTP
    http_requests_total: Annotated[Counter, About("HTTP requests answered.", "route", "method", "status")]
    http_request_seconds: Annotated[
        Histogram, About("Time from a request's head to its response's end.", "route")
    ]
    http_in_flight: Annotated[Gauge, About("HTTP requests being served.")]
    http_bodies_arriving: Annotated[Gauge, About("Bodies of HTTP requests that are waited for.")]
    http_overloaded_total: Annotated[Counter, About("HTTP requests that this worker refused as OVERLOADED.")]
    http_connections: Annotated[Gauge, About("Connections open to the HTTP server.", "bind")]
    http_connections_refused_total: Annotated[
        Counter, About("Connections refused, too many being open.", "bind")
    ]
    http_connections_cut_total: Annotated[
        Counter, About("Connections cut, the client being too slow.", "reason")
    ]
    http_malformed_total: Annotated[Counter, About("Requests refused that are no sound HTTP.", "reason")]
    http_forwarded_total: Annotated[
        Counter, About("HTTP requests sent on to a partition's owner.", "outcome")
    ]

    # Rates and quotas
    rate_limited_total: Annotated[
        Counter, About("Calls refused, their tenant's window being full.", "window")
    ]
    rate_windows: Annotated[Gauge, About("Tenants' windows with calls of the last minute in them.")]
    quota_exceeded_total: Annotated[Counter, About("Decisions refused, their tenant's quota being used up.")]
    quota_used: Annotated[
        Gauge, About("Decisions of the month, of tenants with a quota, as of their last call here.", "tenant")
    ]
    redis_up: Annotated[Gauge, About("1 while workers count together in Redis, else 0.")]
    redis_waiting: Annotated[Gauge, About("Calls that wait for their turn at Redis.")]
    redis_fallbacks_total: Annotated[
        Counter, About("Times this worker counted alone, Redis not answering in time.", "use", "reason")
    ]
    bulk_bodies: Annotated[Gauge, About("Bodies of bulk loads being read.")]
    bulk_lines_total: Annotated[Counter, About("Lines of bulk loads, by what became of them.", "status")]

    # Deciding
    decisions_total: Annotated[Counter, About("Recommend calls decided.", "flow")]
    decisions_over_budget_total: Annotated[
        Counter, About("Decisions that took longer than their flow's latencyBudgetMs.", "flow")
    ]
    flow_fallbacks_total: Annotated[
        Counter, About("Times a flow was switched to its fallback offers for ten seconds.", "flow")
    ]
    model_breakers_opened_total: Annotated[
        Counter, About("Times a model failed so often that flows do without it for a minute.", "model")
    ]
    traces_total: Annotated[Counter, About("Traces kept: asked for, or in their tenant's sample.", "reason")]
    idempotent_answers_total: Annotated[
        Counter,
        About(
            "Answers of recommend under an idempotency key: kept; given again from the state (replayed) or "
            "with a call under way (shared); pushed_out by newer ones; too_large; wait_expired.",
            "outcome",
        ),
    ]
    decision_seconds: Annotated[
        Histogram,
        About("Time of the decision core for one recommend call.", buckets=DECISION_BUCKETS_SECONDS),
    ]
    catalogue_version: Annotated[Gauge, About("Version of the catalogue this worker decides with.")]
    catalogue_writes_total: Annotated[
        Counter, About("Changes of the catalogue, by how they ended.", "outcome")
    ]
    catalogue_write_seconds: Annotated[
        Histogram, About("From a change of the catalogue to its place in this worker's snapshot.")
    ]
    audit_entries: Annotated[Gauge, About("Audit entries that this worker can find.")]
    audit_breaks_total: Annotated[Counter, About("Places where an audit trail's chain does not hold.")]
    catalogue_swap_seconds: Annotated[Histogram, About("Time to compile a catalogue and put it in place.")]


def new_metrics() -> Metrics:
    """Fresh metrics at zero, in a registry of their own: two apps in one process do not clash."""
    # Process-wide: the client library would add a "_created" series to each counter, doubling the page.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own gap
    registry = CollectorRegistry()
    made: dict[str, Any] = {name: _make(name, kind, about, registry) for name, kind, about in declared()}
    return Metrics(registry=registry, **made)


def render(metrics: Metrics) -> bytes:
    """The metrics in Prometheus' text format (``text/plain; version=0.0.4``), UTF-8."""
    return generate_latest(metrics.registry)


def declared() -> tuple[tuple[str, type, About], ...]:
    """Field name, kind and meaning of every metric, in the order of the class."""
    hints = get_type_hints(Metrics, include_extras=True)
    return tuple(
        (name, hint.__origin__, hint.__metadata__[0]) for name, hint in hints.items() if name != "registry"
    )


def metrics_page() -> str:
    """The Markdown page that lists every metric."""
    rows = "".join(
        f"| `{NAMESPACE}_{name}` | {kind.__name__.lower()} "
        f"| {', '.join(f'`{label}`' for label in about.labels) or '–'} | {about.help_text} |\n"
        for name, kind, about in declared()
    )
    return (
        "# Metrics\n\n"
        "<!-- Generated by `python -m config.metrics > docs/metrics.md`; change that file instead. -->\n\n"
        "`GET /metrics` answers in Prometheus' text format. Each worker counts for itself.\n"
        "A histogram also has the series `_bucket`, `_count` and `_sum`. Durations are in seconds.\n\n"
        "| metric | kind | labels | what it says |\n|---|---|---|---|\n" + rows
    )


def _make(name: str, kind: type, about: About, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    full = f"{NAMESPACE}_{name}"
    if kind is Counter:
        return Counter(full, about.help_text, about.labels, registry=registry)
    if kind is Gauge:
        return Gauge(full, about.help_text, about.labels, registry=registry)
    return Histogram(full, about.help_text, about.labels, registry=registry, buckets=about.buckets)


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
