"""Across customers: budgets that two workers share, and evidence that both see. On Apache Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.scoreboard import ScoreboardReader
from app.decision.learning.evidence import Tally
from config.metrics import new_metrics
from config.settings import Settings
from config.topics import DECISIONS, topic_names
from tables.scoreboard import Scoreboard
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import DOCUMENT, TENANT, import_shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

BUDGET = 100
OFFERS = [
    {"id": "offer-0", "name": "Scarce", "categoryId": "music", "budget": {"maxTotal": BUDGET}},
    *DOCUMENT["offers"][1:],
]
FLOW = {
    "id": "main",
    "name": "Main",
    "status": "active",
    "default": True,
    "unknownCustomers": "allow",
    "inventory": {"scope": "offers", "ids": ["offer-0"]},
}


class Pair:
    """Two workers on one Kafka, and a scoreboard of the test's own."""

    def __init__(self, kafka: KafkaCluster, app_id: str, folder: Path) -> None:
        broker = Broker(kafka.bootstrap, "kafka")
        self.settings: list[Settings] = [
            settings_for(broker, app_id, folder / str(number)) for number in range(2)
        ]
        self.workers = [WorkerProcess(each) for each in self.settings]
        self.clients = [Client(worker.url, TENANT) for worker in self.workers]
        self.bootstrap = kafka.bootstrap

    async def __aenter__(self) -> Pair:
        await import_shop(
            self.settings[0], offers=OFFERS, **{"contact-policies": [], "decision-flows": [FLOW]}
        )
        for worker, client in zip(self.workers, self.clients, strict=True):
            worker.start()
            await client.__aenter__()
        await eventually(self.shared, 60, "both own partitions, and are ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker, client in zip(self.workers, self.clients, strict=True):
            await client.__aexit__()
            worker.kill()

    async def shared(self) -> bool:
        try:
            answers = [await client.get("/ready") for client in self.clients]
        except aiohttp.ClientError:
            return False
        return all(status == 200 and body["partitionsOwned"] == 4 for status, body in answers)

    async def recommend(self, customers: Sequence[str]) -> int:
        """How many deliveries were answered; each customer asks another worker than the one before."""
        found = await asyncio.gather(
            *(self._recommend(number, name) for number, name in enumerate(customers))
        )
        return sum(found)

    async def _recommend(self, number: int, customer: str) -> int:
        request = {"customerId": customer, "channelId": "push", "limit": 1}
        try:
            status, body = await self.clients[number % 2].post("/api/v1/recommend", request)
        except aiohttp.ClientError:
            return 0
        return int(body["count"]) if status == 200 else 0

    async def logged(self) -> int:
        """Deliveries on the log: all that there ever were, answered or not."""
        topic, count = topic_names(self.settings[0].app_id)[DECISIONS], self.settings[0].partitions
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(count)]
            ends = await consumer.end_offsets(places)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            bodies: list[dict[str, Any]] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    bodies.extend(json.loads(record.value) for record in records)
        finally:
            await consumer.stop()
        return sum(len(body.get("shown", ())) for body in bodies)


def _names(first: int, count: int = 40) -> list[str]:
    return [f"N{number}" for number in range(first, first + count)]


@pytest.mark.parametrize("killed", [False, True])
async def test_a_budget_that_two_workers_share_is_used_up_and_never_overspent(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path, killed: bool
) -> None:
    async with Pair(kafka_cluster, app_id, tmp_path) as pair:
        answered = await pair.recommend(_names(0))
        if killed:
            going = asyncio.create_task(pair.recommend(_names(1_000)))
            await asyncio.sleep(0.02)
            pair.workers[1].kill()
            answered += await going
            pair.workers[1].start()
            await eventually(pair.shared, 90, "both own partitions again")
        customers = 2_000

        async def used_up() -> bool:
            nonlocal answered, customers
            answered += await pair.recommend(_names(customers))
            customers += 40
            assert answered <= BUDGET
            return await pair.logged() >= BUDGET

        await eventually(used_up, 90, f"{BUDGET} deliveries")
        assert await pair.recommend(_names(9_000, 80)) == 0
        assert await pair.logged() == BUDGET
        assert killed or answered == BUDGET


async def test_evidence_of_all_customers_is_seen_by_everybody(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with Pair(kafka_cluster, app_id, tmp_path) as pair:
        metrics, scoreboard = new_metrics(), Scoreboard()
        reader = ScoreboardReader(pair.settings[0], scoreboard, metrics)
        await reader.start()
        try:
            shown = 0
            while shown < 20:
                shown += await pair.recommend(_names(shown, 20))
            click = {"outcome": "accept", "offerId": "offer-0", "channelId": "web"}
            for number, customer in enumerate(_names(0, 6)):
                body = {"customerId": customer, "idempotencyKey": f"k{number}", **click}
                status, answer = await pair.clients[number % 2].post("/api/v1/respond", body)
                assert status == 201, answer
            wanted = Tally(shown, 6)

            async def seen() -> bool:
                evidence = scoreboard.tenant(TENANT)
                return all(
                    evidence.tally(key) == wanted for key in ("offer/offer-0", "category/music", "tenant")
                )

            await eventually(seen, 10, f"{wanted} on the scoreboard")

            async def on_workers() -> bool:
                pages = [(await client.get("/metrics"))[1] for client in pair.clients]
                return all(f"offertide_scoreboard_entries {len(scoreboard)}.0" in page for page in pages)

            await eventually(on_workers, 10, "every worker has all scores")
        finally:
            await reader.stop()
