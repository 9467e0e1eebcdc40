"""Every path of the contract, put into the worker's web server."""

from __future__ import annotations

import faust
from faust.web.base import BlueprintManager

from web.customers import CustomerView
from web.engine import Engine
from web.ingest import IngestView
from web.operations import HealthView, MetricsView, ReadyView
from web.recommend import RecommendView
from web.respond import CaptureView, RespondView
from web.traces import TraceView
from web.view import ApiView, NotFoundView, Traffic

VIEWS: tuple[type[ApiView], ...] = (
    RecommendView,
    RespondView,
    CaptureView,
    IngestView,
    CustomerView,
    TraceView,
    HealthView,
    ReadyView,
    MetricsView,
    NotFoundView,
)


def mount(app: faust.App, engine: Engine) -> None:
    """Put all views into the app's web server, in place of Faust's own pages, which show customer data."""
    app.web.blueprints = BlueprintManager()
    traffic = Traffic(engine.settings.max_in_flight)
    for view in VIEWS:
        bound = type(view.__name__, (view,), {"engine": engine, "traffic": traffic})
        app.web.add_view(bound)
