"""Metrics: names that follow the convention, each explained, each app its own."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from config.metrics import declared, metrics_page, new_metrics, render

ROOT = Path(__file__).parents[2]


def test_names_end_in_their_unit() -> None:
    for name, kind, about in declared():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert (kind is Counter) == name.endswith("_total")
        assert kind is not Histogram or name.endswith("_seconds")
        assert kind in (Counter, Gauge, Histogram)
        assert about.help_text.endswith(".")
        assert all(re.fullmatch(r"[a-z]+", label) for label in about.labels)


def test_no_label_can_name_a_customer_or_grow_without_bound() -> None:
    used = {label for _, _, about in declared() for label in about.labels}
    # Tenants: those that have a quota.
    bounded = {"topic", "partition", "reason", "route", "method", "status", "flow", "model", "outcome"}
    assert used <= bounded | {"tenant", "use", "window", "bind"}


def test_every_metric_is_registered_under_its_fields_name() -> None:
    metrics = new_metrics()
    families = {family.name for family in text_string_to_metric_families(render(metrics).decode())}
    assert families == {f"offertide_{name.removesuffix('_total')}" for name, _, _ in declared()}


def test_two_apps_in_one_process_count_for_themselves() -> None:
    one, other = new_metrics(), new_metrics()
    one.records_folded_total.labels("events").inc(3)
    one.batch_seconds.observe(0.002)
    assert b'offertide_records_folded_total{topic="events"} 3.0' in render(one)
    assert b"offertide_batch_seconds_count 1.0" in render(one)
    assert b'topic="events"' not in render(other)


def test_the_page_lists_no_series_of_the_client_library() -> None:
    assert b"_created" not in render(new_metrics())
    assert b"python_info" not in render(new_metrics())


def test_the_bars_for_latency_are_bounds_of_the_histograms() -> None:
    metrics = new_metrics()
    metrics.http_request_seconds.labels("/api/v1/recommend").observe(0.01)
    metrics.decision_seconds.observe(0.0001)
    text = render(metrics).decode()
    for bound in ("0.01", "0.025", "0.05"):
        assert f'offertide_http_request_seconds_bucket{{le="{bound}",route="/api/v1/recommend"}} 1.0' in text
    assert 'offertide_decision_seconds_bucket{le="0.00018"} 1.0' in text


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == metrics_page()
