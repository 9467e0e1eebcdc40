"""GET /health, /ready and /metrics: for operators, without a tenant."""

from __future__ import annotations

import msgspec

from config.metrics import render as render_metrics
from tables.partition import Partition
from web.errors import RETRY_AFTER_S
from web.view import Answer, ApiView, Call, encode

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Waiting(msgspec.Struct, rename="camel"):
    """A partition that is not ready, where it stands and why."""

    partition: int
    phase: str
    reason: str


class Readiness(msgspec.Struct, rename="camel", omit_defaults=True):
    """Whether this worker answers from all it owns. `error`, `code` and `requestId` when it does not."""

    ready: bool
    catalogue_ready: bool
    catalogue_version: int
    partitions_owned: int
    partitions_ready: int
    not_ready: list[Waiting]
    error: str = ""
    code: str = ""
    request_id: str = ""


class HealthView(ApiView):
    """200 while the process serves requests at all."""

    view_name = "health"
    view_path = "/health"
    operational = True

    async def get(self, call: Call) -> Answer:
        return Answer(b'{"status":"alive"}')


class ReadyView(ApiView):
    """200 when the catalogue and every owned partition are ready, and one is owned; else 503 and why."""

    view_name = "ready"
    view_path = "/ready"
    operational = True

    async def get(self, call: Call) -> Answer:
        engine = self.engine
        owned = sorted(engine.partitions, key=lambda partition: partition.number)
        waiting = [_waiting(partition) for partition in owned if not partition.ready]
        catalogue_ready = engine.catalogue_ready()
        state = Readiness(
            ready=catalogue_ready and bool(owned) and not waiting,
            catalogue_ready=catalogue_ready,
            catalogue_version=engine.catalogue().version,
            partitions_owned=len(owned),
            partitions_ready=len(owned) - len(waiting),
            not_ready=waiting,
        )
        if state.ready:
            return Answer(encode(state))
        state.code, state.request_id = "NOT_READY", call.request_id
        state.error = _why(state)
        return Answer(encode(state), 503, {"Retry-After": str(RETRY_AFTER_S)})


class MetricsView(ApiView):
    """Prometheus' text format. Gauges that count what is there are taken now."""

    view_name = "metrics"
    view_path = "/metrics"
    operational = True

    async def get(self, call: Call) -> Answer:
        metrics, partitions = self.engine.metrics, list(self.engine.partitions)
        metrics.waiters.set(sum(len(one.waiters) for one in partitions))
        metrics.overlays.set(sum(len(one.overlays) for one in partitions))
        metrics.outbox_pending.set(sum(len(one.outbox) for one in partitions))
        metrics.http_in_flight.set(self.traffic.in_flight)
        metrics.catalogue_version.set(self.engine.catalogue().version)
        for partition in partitions:
            metrics.partition_ready.labels(str(partition.number)).set(partition.ready)
        return Answer(render_metrics(metrics), content_type=_PROMETHEUS)


def _waiting(partition: Partition) -> Waiting:
    return Waiting(partition.number, partition.phase.value, partition.reason)


def _why(state: Readiness) -> str:
    if not state.catalogue_ready:
        return "The catalogue is not read yet."
    if not state.partitions_owned:
        return "This worker owns no partition yet."
    return f"{len(state.not_ready)} of {state.partitions_owned} partitions are not ready."
