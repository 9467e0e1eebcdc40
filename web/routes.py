"""Every path of the contract, put into the worker's web server."""

from __future__ import annotations

import faust
from faust.web.base import BlueprintManager

from web.auth import authenticator_of, voucher_of
from web.customers import CustomerView
from web.eligibility import EligibilityView
from web.engine import Engine
from web.events import EventsView
from web.experiments import ExperimentResultsView
from web.forwarding import Forwarder
from web.ingest import IngestView
from web.operations import HealthView, MetricsView, ReadyView
from web.recommend import RecommendView
from web.respond import CaptureView, RespondView
from web.simulate import SimulateView
from web.topology import TopologyView
from web.traces import TracesView, TraceView
from web.view import ApiView, NotFoundView, Traffic

VIEWS: tuple[type[ApiView], ...] = (
    RecommendView,
    RespondView,
    CaptureView,
    IngestView,
    EventsView,
    CustomerView,
    EligibilityView,
    TraceView,
    TracesView,
    SimulateView,
    ExperimentResultsView,
    HealthView,
    ReadyView,
    MetricsView,
    TopologyView,
    NotFoundView,
)


def mount(app: faust.App, engine: Engine) -> Forwarder:
    """Put all views into the app's web server, in place of Faust's own pages, which show customer data.

    Returns what sends requests on to other workers, for its owner to close.

    Raises:
        config.settings.SettingsError: callers are known by API keys, and there is no pepper.
    """
    app.web.blueprints = BlueprintManager()
    traffic = Traffic(engine.settings.max_in_flight)
    voucher = voucher_of(engine)
    forwarder = Forwarder(engine.settings, engine.owners, engine.metrics, voucher)
    parts = {
        "engine": engine,
        "traffic": traffic,
        "forwarder": forwarder,
        "authenticator": authenticator_of(engine, voucher),
    }
    for view in VIEWS:
        app.web.add_view(type(view.__name__, (view,), parts))
    return forwarder
