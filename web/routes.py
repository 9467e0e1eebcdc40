"""Every path of the contract, put into the worker's web server."""

from __future__ import annotations

import faust
from faust.web.base import BlueprintManager

from web.api_keys import ApiKeysView, ApiKeyView, RotateKeyView
from web.audit import AuditView
from web.auth import authenticator_of, voucher_of
from web.bulk import BulkView
from web.catalogue_documents import CatalogueExportView, CatalogueImportView
from web.customers import CustomerView
from web.docs import DocsAssetView, DocsView
from web.documents import AsyncapiView, OpenapiView
from web.driver import BoundedWeb
from web.eligibility import EligibilityView
from web.engine import Engine
from web.entities import ENTITY_VIEWS
from web.erasures import ErasureView
from web.events import EventsView
from web.experiments import ExperimentResultsView
from web.forwarding import Forwarder
from web.ingest import IngestView
from web.operations import HealthView, MetricsView, ReadyView
from web.recommend import RecommendView
from web.respond import CaptureView, RespondView
from web.simulate import SimulateView
from web.suppressions import SuppressionView
from web.topology import TopologyView
from web.traces import TracesView, TraceView
from web.traffic import Traffic
from web.view import ApiView, NotFoundView

VIEWS: tuple[type[ApiView], ...] = (
    RecommendView,
    RespondView,
    CaptureView,
    IngestView,
    BulkView,
    EventsView,
    CustomerView,
    ErasureView,
    SuppressionView,
    EligibilityView,
    TraceView,
    TracesView,
    SimulateView,
    ExperimentResultsView,
    *ENTITY_VIEWS,
    ApiKeysView,
    ApiKeyView,
    RotateKeyView,
    CatalogueExportView,
    CatalogueImportView,
    AuditView,
    HealthView,
    ReadyView,
    MetricsView,
    OpenapiView,
    DocsView,
    DocsAssetView,
    AsyncapiView,
    TopologyView,
    NotFoundView,
)

#: What is below is the API's; everything else is for operators.
API_ROOT = "/api/"


def mount(app: faust.App, engine: Engine) -> Forwarder:
    """Put all views into the app's web server, in place of Faust's own pages, which show customer data.

    Returns what sends requests on to other workers, for its owner to close.

    Raises:
        config.settings.SettingsError: callers are known by API keys, and there is no pepper.
    """
    server = app.web = BoundedWeb(app, engine)
    server.blueprints = BlueprintManager()
    traffic = Traffic(engine.settings.max_in_flight)
    voucher = voucher_of(engine)
    forwarder = Forwarder(engine.settings, engine.owners, engine.metrics, voucher)
    parts = {
        "engine": engine,
        "traffic": traffic,
        "forwarder": forwarder,
        "authenticator": authenticator_of(engine, voucher),
        "contract": VIEWS,
    }
    for view in VIEWS:
        _place(server, type(view.__name__, (view,), parts))
    return forwarder


def _place(server: BoundedWeb, view: type[ApiView]) -> None:
    """Serve a view at the API's bind, the operations', or, which is for unknown paths only, at both."""
    of_api = view.view_path.startswith(API_ROOT)
    if of_api or server.operations is None or issubclass(view, NotFoundView):
        server.add_view(view)
    if not of_api and server.operations is not None:
        server.add_operation(view)
