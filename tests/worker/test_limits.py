"""Rates and quotas on whole workers: two of them with Redis, one over a restart. On Apache Kafka."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.provision import ensure_topics
from config.setting_types import Secret
from config.settings import Settings
from tables.catalogue_document import read_document
from tables.catalogue_writer import CatalogueWriter
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.redis_server import RedisServer
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import DOCUMENT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

#: Tenants with a rate, one for each try.
LIMITED = [f"limited-{number}" for number in range(6)]
RATE = 100
FLOW = {"id": "main", "name": "Main", "status": "active", "default": True, "unknownCustomers": "allow"}

#: What counts as late here: a busy machine is not Redis being away.
PATIENT: dict[str, Any] = {"redis_timeout_ms": 3_000}

Answered = tuple[int, Any]


async def import_tenant(settings: Settings, tenant: str, **own: Any) -> None:
    """The shop's catalogue for a tenant with settings of its own."""
    entities = [{"id": "settings", "name": "Settings", **own}]
    shop = {**DOCUMENT, "contact-policies": [], "decision-flows": [FLOW], "tenant-settings": entities}
    body = json.dumps({"tenant": tenant, **shop}).encode()
    await CatalogueWriter(settings).import_tenant(tenant, read_document(body).entries, by="test")


class Workers:
    """Worker processes on one Kafka, asked in turns."""

    def __init__(self, kafka: KafkaCluster, app_id: str, folder: Path, count: int, **settings: Any) -> None:
        broker = Broker(kafka.bootstrap, "kafka")
        self.settings = [settings_for(broker, app_id, folder / str(n), **settings) for n in range(count)]
        self.processes = [WorkerProcess(each) for each in self.settings]
        self._sessions = [Client(process.url) for process in self.processes]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            for process, client in zip(self.processes, self._sessions, strict=True):
                process.start()
                await client.__aenter__()
            await self.ready()
            yield
        finally:
            for process, client in zip(self.processes, self._sessions, strict=True):
                await client.__aexit__()
                process.kill()

    async def ready(self) -> None:
        await eventually(self._shared, 90, "all own partitions, and are ready")

    async def _shared(self) -> bool:
        try:
            answers = [await client.get("/ready") for client in self._sessions]
        except aiohttp.ClientError:
            return False
        share = 8 // len(answers)
        return all(status == 200 and body["partitionsOwned"] == share for status, body in answers)

    async def many(self, tenant: str, calls: int) -> Counter[int]:
        """The statuses of so many calls at once, of as many customers, at all workers in turns."""
        found = await asyncio.gather(*(self.look(tenant, number) for number in range(calls)))
        return Counter(found)

    async def look(self, tenant: str, number: int) -> int:
        """Ask for a customer whom nobody knows; the status."""
        client = self._sessions[number % len(self._sessions)]
        status, _ = await client.call("GET", f"/api/v1/customers/C{number}", **{"X-Tenant-Id": tenant})
        return status

    async def recommend(self, tenant: str, number: int, **wanted: Any) -> Answered:
        body = {"customerId": f"C{number}", "channelId": "web", "limit": 1, **wanted}
        client = self._sessions[number % len(self._sessions)]
        return await client.call("POST", "/api/v1/recommend", body, **{"X-Tenant-Id": tenant})

    async def sum(self, name: str) -> float:
        """A metric's samples, of all workers together."""
        pages = [(await client.get("/metrics"))[1] for client in self._sessions]
        lines = [line for page in pages for line in page.splitlines() if line.startswith(f"offertide_{name}")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def redis_up(self) -> None:
        async def up() -> bool:
            return await self.sum("redis_up") == len(self._sessions)

        await eventually(up, 30, "all workers count together")


async def _exactly(workers: Workers, tenant: str) -> None:
    """A tenant's 300 calls at both workers, 100 of them admitted."""
    before = await workers.sum("redis_fallbacks_total")
    found = await workers.many(tenant, 300)
    assert await workers.sum("redis_fallbacks_total") == before
    assert found == {404: RATE, 429: 200}


async def test_two_workers_and_redis_admit_exactly_the_rate_and_redis_may_go(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis:
        workers = Workers(kafka_cluster, app_id, tmp_path, 2, redis_url=Secret(redis.url), **PATIENT)
        await ensure_topics(workers.settings[0])
        for tenant in LIMITED:
            await import_tenant(workers.settings[0], tenant, tier="community")
        await import_tenant(workers.settings[0], "free")
        async with workers.running():
            await workers.redis_up()
            await workers.many("free", 40)
            await _exactly(workers, LIMITED[0])
            forwarded = await workers.sum('http_forwarded_total{outcome="answered"}')
            assert forwarded > 20, "half of the calls are another worker's, and count once"
            for away, back in ((redis.kill, redis.start), (redis.freeze, redis.thaw)):
                before = await workers.sum("redis_fallbacks_total")
                going = asyncio.create_task(_keep_calling(workers, LIMITED[3]))
                await asyncio.sleep(0.2)
                away()
                found = await going
                # Nothing but what the rate says; the own windows go on from what was admitted.
                assert set(found) <= {404, 429}
                assert found[404] <= 2 * RATE
                alone = await workers.many(LIMITED[4], 60)
                assert set(alone) <= {404, 429}
                assert await workers.sum("redis_fallbacks_total") > before
                assert await workers.sum("redis_up") == 0
                back()
                await workers.redis_up()
            await _exactly(workers, LIMITED[5])


async def _keep_calling(workers: Workers, tenant: str) -> Counter[int]:
    found: Counter[int] = Counter()
    for _ in range(20):
        found += await workers.many(tenant, 10)
        await asyncio.sleep(0.03)
    return found


def _decided(answers: Sequence[Answered]) -> Mapping[str, int]:
    return Counter("some" if body.get("count") else body.get("code", "none") for _, body in answers)


async def test_one_worker_keeps_a_quota_exactly_over_a_restart(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    workers = Workers(kafka_cluster, app_id, tmp_path, 1)
    await ensure_topics(workers.settings[0])
    await import_tenant(workers.settings[0], "metered", quotaPerMonth=40)

    async def calls(first: int, count: int, **wanted: Any) -> Mapping[str, int]:
        numbers = range(first, first + count)
        return _decided(
            await asyncio.gather(*(workers.recommend("metered", number, **wanted) for number in numbers))
        )

    async with workers.running():
        everything = [f"offer-{number}" for number in range(5)]
        assert await calls(0, 30, excludeOffers=everything) == {"none": 30}
        assert await calls(0, 30) == {"some": 30}
        # At once, before anything was told to anybody.
        workers.processes[0].kill()
        workers.processes[0].start()
        await workers.ready()
        assert await calls(30, 30) == {"some": 10, "QUOTA_EXCEEDED": 20}
        assert workers.processes[0].stop() == 0
        workers.processes[0].start()
        await workers.ready()
        assert await calls(0, 5) == {"QUOTA_EXCEEDED": 5}
        assert await calls(0, 5, excludeOffers=everything) == {"QUOTA_EXCEEDED": 5}
        await import_tenant(workers.settings[0], "metered", quotaPerMonth=43)

        async def raised() -> bool:
            return (await workers.recommend("metered", 0))[0] == 200

        await eventually(raised, 20, "the raised quota")
        assert await calls(0, 5) == {"some": 2, "QUOTA_EXCEEDED": 3}


async def test_two_workers_and_redis_keep_a_quota_exactly(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis:
        workers = Workers(kafka_cluster, app_id, tmp_path, 2, redis_url=Secret(redis.url), **PATIENT)
        await ensure_topics(workers.settings[0])
        tenant = "metered"
        await import_tenant(workers.settings[0], tenant, quotaPerMonth=50)
        async with workers.running():
            await workers.redis_up()
            before = await workers.sum("redis_fallbacks_total")
            found = _decided(await asyncio.gather(*(workers.recommend(tenant, n) for n in range(120))))
            assert await workers.sum("redis_fallbacks_total") == before
            assert found == {"some": 50, "QUOTA_EXCEEDED": 70}

            async def told() -> bool:
                refused = [await workers.recommend(tenant, number) for number in range(24)]
                assert {status for status, _ in refused} == {429}
                return await workers.sum(f'quota_used{{tenant="{tenant}"}}') == 2 * 50

            await eventually(told, 20, "both workers know what both decided")
            # Without Redis too, by the scoreboard.
            redis.kill()
            assert await told()
