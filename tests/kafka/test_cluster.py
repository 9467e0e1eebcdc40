"""Apache Kafka for tests: what it keeps through kills and restarts, and what its clients can do on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import ProducerFenced

from app.child import free_ports
from app.cluster_view import ask_cluster
from tests.kafka.clients import admin, consume, create_topic, end_offset, produce, producer
from tests.kafka.cluster import KafkaCluster, KafkaClusterError
from tests.kafka.processes import kill_parent_of, wait_gone

pytestmark = pytest.mark.kafka
FIRST, SECOND = [b"%d" % n for n in range(20)], [b"%d" % n for n in range(20, 40)]


@pytest.fixture(scope="module")
def trio() -> Iterator[KafkaCluster]:
    """Three nodes, all running; a test that kills one starts it again."""
    with KafkaCluster(nodes=3) as cluster:
        yield cluster


async def leader_and_in_sync(cluster: KafkaCluster, topic: str) -> tuple[int, list[int]]:
    """The node that leads partition 0 and all that have its data."""
    async with admin(cluster.bootstrap) as client:
        [partition] = (await client.describe_topics([topic]))[0]["partitions"]
    return partition["leader"], sorted(partition["isr"])


async def test_three_nodes_survive_the_kill_of_one(trio: KafkaCluster, unique: Callable[[str], str]) -> None:
    topic = unique("replicated")
    await create_topic(trio.bootstrap, topic, replicas=3)
    await produce(trio.bootstrap, topic, FIRST)
    leader, in_sync = await leader_and_in_sync(trio, topic)
    assert in_sync == [1, 2, 3]

    trio.kill(leader)
    await produce(trio.bootstrap, topic, SECOND)
    assert await consume(trio.bootstrap, topic, 40) == FIRST + SECOND

    trio.start_node(leader)
    view = ask_cluster(trio.address(leader))
    assert view is not None
    assert view.brokers == {1, 2, 3}


async def test_three_nodes_ask_for_two_in_sync_replicas(
    trio: KafkaCluster, unique: Callable[[str], str]
) -> None:
    topic = unique("guarded")
    await create_topic(trio.bootstrap, topic, replicas=3)
    async with admin(trio.bootstrap) as client:
        answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    settings = {entry[0]: entry[1] for entry in answers[0].resources[0][4]}
    assert settings["min.insync.replicas"] == "2"


async def test_one_node_keeps_its_data_through_kill_and_stop(unique: Callable[[str], str]) -> None:
    topic = unique("kept")
    with KafkaCluster(nodes=1) as cluster:
        bootstrap = cluster.bootstrap
        await create_topic(bootstrap, topic)
        await produce(bootstrap, topic, FIRST)
        cluster.kill(1)
        cluster.start_node(1)
        await produce(bootstrap, topic, SECOND)
        cluster.stop_node(1)
        cluster.start_node(1)
        assert cluster.bootstrap == bootstrap
        assert await consume(bootstrap, topic, 40) == FIRST + SECOND
        assert await end_offset(bootstrap, topic) == 40


async def test_read_committed_sees_only_what_was_committed(
    kafka_cluster: KafkaCluster, unique: Callable[[str], str]
) -> None:
    topic = unique("transactions")
    await create_topic(kafka_cluster.bootstrap, topic)
    async with producer(kafka_cluster.bootstrap, transactional_id=unique("writer")) as client:
        async with client.transaction():
            await client.send_and_wait(topic, b"kept", partition=0)
        await client.begin_transaction()
        await client.send_and_wait(topic, b"dropped", partition=0)
        await client.abort_transaction()
        async with client.transaction():
            await client.send_and_wait(topic, b"kept too", partition=0)
    assert await consume(kafka_cluster.bootstrap, topic, 2, "read_committed") == [b"kept", b"kept too"]
    assert await consume(kafka_cluster.bootstrap, topic, 3) == [b"kept", b"dropped", b"kept too"]


async def test_a_second_transactional_producer_fences_the_first(
    kafka_cluster: KafkaCluster, unique: Callable[[str], str]
) -> None:
    topic, writer = unique("fenced"), unique("writer")
    await create_topic(kafka_cluster.bootstrap, topic)
    start = partial(producer, kafka_cluster.bootstrap, transactional_id=writer)
    async with start() as old, start():
        await old.begin_transaction()
        with pytest.raises(ProducerFenced):
            await old.send_and_wait(topic, b"late", partition=0)
    assert await end_offset(kafka_cluster.bootstrap, topic) == 0


async def test_the_idempotent_producer_works(
    kafka_cluster: KafkaCluster, unique: Callable[[str], str]
) -> None:
    topic = unique("idempotent")
    await create_topic(kafka_cluster.bootstrap, topic)
    async with producer(kafka_cluster.bootstrap, enable_idempotence=True) as client:
        offsets = [(await client.send_and_wait(topic, value, partition=0)).offset for value in FIRST]
    assert offsets == list(range(20))


def test_a_node_that_fails_at_its_start_shows_its_log() -> None:
    with pytest.raises(KafkaClusterError, match=r"(?s)node 1 ended with code 1.*no\.such\.Reporter"):
        KafkaCluster(overrides={"metric.reporters": "no.such.Reporter"}).start()


def test_settings_that_kafka_refuses_are_shown() -> None:
    with pytest.raises(KafkaClusterError, match=r"cannot be formatted: .*nonsense"):
        KafkaCluster(overrides={"process.roles": "nonsense"}).start()


def test_a_port_that_another_program_took_is_left_to_it(
    kafka_cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(kafka_cluster.address(1).rpartition(":")[2])
    free = free_ports(3)
    ports = iter([[free[0], taken], free[1:]])
    monkeypatch.setattr("tests.kafka.cluster.free_ports", lambda count: next(ports))
    with KafkaCluster() as other:
        assert other.address(1) == f"127.0.0.1:{free[2]}"


def test_a_node_that_does_not_run_cannot_be_killed(kafka_cluster: KafkaCluster) -> None:
    with pytest.raises(ValueError, match="node 7 is not running"):
        kafka_cluster.kill(7)


@pytest.mark.skipif(sys.platform != "linux", reason="uses what only Linux has")
def test_kill_9_of_the_parent_takes_the_nodes_along(tmp_path: Path) -> None:
    script = """if True:
        import time
        from tests.kafka.cluster import KafkaCluster
        cluster = KafkaCluster()
        cluster.start()
        print(cluster.pid(1), flush=True)
        time.sleep(60)
    """
    for pid in kill_parent_of(script, tmp_path):
        assert wait_gone(pid)
