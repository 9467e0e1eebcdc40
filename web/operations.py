"""GET /health, /ready and /metrics: for operators, without a tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from config.metrics import render as render_metrics
from tables.partition import Partition, Phase
from web.access import Operation, for_operators
from web.engine import Engine
from web.errors import RETRY_AFTER_S
from web.forwarding import own_url
from web.view import Answer, ApiView, Call, encode

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Waiting(msgspec.Struct, rename="camel"):
    """A partition that is not ready, where it stands and why."""

    partition: int
    phase: str
    reason: str


class StandbyBody(msgspec.Struct, rename="camel"):
    """A copy of another worker's partition, and the changelog records it has not read; null if unknown."""

    partition: int
    lag: int | None


class Readiness(msgspec.Struct, rename="camel", omit_defaults=True):
    """Whether this worker answers from all it owns. `error`, `code` and `requestId` when it does not.

    Standbys have no say in it.
    """

    ready: bool
    catalogue_ready: bool
    catalogue_version: int
    scoreboard_ready: bool
    partitions_owned: int
    partitions_ready: int
    not_ready: list[Waiting]
    standbys: list[StandbyBody] = []
    error: str = ""
    code: str = ""
    request_id: str = ""


class HealthBody(msgspec.Struct):
    """That the process is alive: there is no other answer."""

    status: Literal["alive"]


_ALIVE = encode(HealthBody("alive"))


class HealthView(ApiView):
    """200 while the process serves requests at all."""

    view_name = "health"
    view_path = "/health"
    operational = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": for_operators("Whether the process is alive.", answer=HealthBody)
    }

    async def get(self, call: Call) -> Answer:
        return Answer(_ALIVE)


class ReadyView(ApiView):
    """200 when the catalogue and every partition that the group gave this worker are ready; else 503 and why.

    A worker that got none is ready too: it sends requests on, and may copy partitions.

    A partition of which Kafka has not been heard for a session's time-out is listed too: it answers still,
    but only what needs nothing written, and may be another worker's already.
    """

    view_name = "ready"
    view_path = "/ready"
    operational = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": for_operators(
            "Whether this worker answers from all it owns.",
            answer=Readiness,
            statuses={200: "Ready.", 503: "Not ready; `error` and `notReady` say why."},
        )
    }

    async def get(self, call: Call) -> Answer:
        engine = self.engine
        owned = sorted(engine.partitions, key=lambda partition: partition.number)
        limit_ms = engine.settings.session_timeout_ms
        waiting = [one for each in owned if (one := _waiting(each, engine.clock_ms(), limit_ms)) is not None]
        waiting += _not_taken(engine)
        catalogue_ready = engine.catalogue_ready()
        scoreboard_ready = engine.scoreboard.ready
        shared_out = bool(owned or engine.owners())
        state = Readiness(
            ready=catalogue_ready
            and scoreboard_ready
            and shared_out
            and not waiting
            and engine.lease_holds(),
            catalogue_ready=catalogue_ready,
            catalogue_version=engine.catalogue().version,
            scoreboard_ready=scoreboard_ready,
            partitions_owned=len(owned),
            partitions_ready=max(len(owned) - len(waiting), 0),
            not_ready=waiting,
            standbys=[
                StandbyBody(number, None if copy is None else copy.lag)
                for number, copy in engine.standbys().items()
            ],
        )
        if state.ready:
            return Answer(encode(state))
        state.code, state.request_id = "NOT_READY", call.request_id
        state.error = _why(state, shared_out)
        return Answer(encode(state), 503, {"Retry-After": str(RETRY_AFTER_S)})


class MetricsView(ApiView):
    """Prometheus' text format. Gauges that count what is there are taken now."""

    view_name = "metrics"
    view_path = "/metrics"
    operational = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": for_operators("The worker's metrics.", answer=str, answer_types=(_PROMETHEUS,))
    }

    async def get(self, call: Call) -> Answer:
        metrics, partitions = self.engine.metrics, list(self.engine.partitions)
        metrics.waiters.set(sum(len(one.waiters) for one in partitions))
        metrics.overlays.set(sum(len(one.overlays) for one in partitions))
        metrics.outbox_pending.set(sum(len(one.outbox) for one in partitions))
        metrics.scoreboard_entries.set(len(self.engine.scoreboard))
        metrics.shared_totals.set(sum(len(one.counters) for one in partitions))
        self.engine.spool.observe()
        metrics.http_in_flight.set(self.traffic.in_flight)
        metrics.http_bodies_arriving.set(self.traffic.bodies.total)
        metrics.catalogue_version.set(self.engine.catalogue().version)
        metrics.kafka_silence_seconds.set(_silence_ms(partitions, self.engine.clock_ms()) / 1000)
        for partition in partitions:
            metrics.partition_ready.labels(str(partition.number)).set(partition.ready)
        return Answer(render_metrics(metrics), content_type=_PROMETHEUS)


def _waiting(partition: Partition, now_ms: int, limit_ms: int) -> Waiting | None:
    if not partition.ready:
        return Waiting(partition.number, partition.phase.value, partition.reason)
    silence_ms = _silence_ms([partition], now_ms)
    if silence_ms > limit_ms:
        return Waiting(partition.number, "silent", f"Kafka has not answered for {silence_ms // 1000} s")
    return None


def _not_taken(engine: Engine) -> list[Waiting]:
    """Partitions that the group gave this worker and that it does not hold yet."""
    own, get = own_url(engine.settings), engine.partitions.get
    missing = [number for number, url in engine.owners().items() if url == own and get(number) is None]
    return [Waiting(number, Phase.STOPPED.value, "it is being shared out anew") for number in missing]


def _silence_ms(partitions: Sequence[Partition], now_ms: int) -> int:
    """For how long Kafka has not answered a fetch, of the partition of which it is longest."""
    heard = [partition.heard_ms for partition in partitions if partition.heard_ms]
    return max(now_ms - min(heard), 0) if heard else 0


def _why(state: Readiness, shared_out: bool) -> str:
    if not state.catalogue_ready:
        return "The catalogue is not read yet."
    if not state.scoreboard_ready:
        return "The scoreboard is not read yet."
    if not shared_out:
        return "The group has not given this worker its partitions yet."
    if not state.not_ready:
        return "The group has not confirmed this worker lately."
    return f"{len(state.not_ready)} of this worker's partitions are not ready."
