"""Brokers for tests: each started at the first test that needs it, and once a session."""

from __future__ import annotations

import gc
import signal
import uuid
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from app.embedded import EmbeddedBroker
from tests.kafka.broker import Broker, in_ci, left_out_line
from tests.kafka.cluster import KafkaCluster
from tests.kafka.jars import java_available

# A shell starts what runs in its background with Ctrl-C ignored, which children inherit: some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's business: nothing in the suite is asserted about time.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

_MISSING = pytest.StashKey[str]()
_LEFT_OUT = pytest.StashKey[int]()
_MARK_OF_FIXTURE = {"kafka_cluster": "kafka", "embedded_broker": "embedded"}


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """The embedded broker, shared: name topics and groups with ``unique``."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """One node of Apache Kafka, shared: name topics and groups with ``unique``, never kill it."""
    with KafkaCluster(nodes=1) as cluster:
        yield cluster


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("embedded", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ],
)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Runs the test twice: on the embedded broker and on Apache Kafka."""
    if request.param == "embedded":
        embedded: EmbeddedBroker = request.getfixturevalue("embedded_broker")
        return Broker(embedded.bootstrap, "embedded")
    cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
    return Broker(cluster.bootstrap, "kafka")


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes a name this test's own (``unique("events")``): tests share a broker, hence its topics.

    The same name gives the same answer within a test.
    """
    suffix = uuid.uuid4().hex[:10]
    return lambda name: f"{name}-{suffix}"


@pytest.fixture
def app_id(unique: Callable[[str], str]) -> str:
    """An application id of this test's own."""
    return unique("offertide")


@pytest.fixture(autouse=True)
def collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collects garbage after each test on a broker.

    A fenced aiokafka producer leaves futures whose error nobody reads. asyncio prints its traceback when they
    are collected, and printing one uses ``ast``: should that happen inside another ``ast.parse``, as of a
    module that pytest loads, Python 3.11 ends the session with a SystemError.
    """
    yield
    if any(request.node.get_closest_marker(kind) for kind in _MARK_OF_FIXTURE.values()):
        gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark by fixture; without Java or Maven leave the tests on Apache Kafka out, except in CI."""
    for item in items:
        for fixture in _MARK_OF_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(_MARK_OF_FIXTURE[fixture])
    on_kafka = [item for item in items if item.get_closest_marker("kafka")]
    missing = java_available() if on_kafka else None
    if missing is None:
        return
    config.stash[_MISSING] = missing
    if not in_ci():
        config.stash[_LEFT_OUT] = len(on_kafka)
        items[:] = [item for item in items if not item.get_closest_marker("kafka")]
        config.hook.pytest_deselected(items=on_kafka)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """In CI a test whose broker cannot run fails: a green run says that everything ran."""
    missing = item.config.stash.get(_MISSING, None)
    if missing is not None and item.get_closest_marker("kafka"):
        pytest.fail(f"CI must run the tests on Apache Kafka. {missing}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line what was left out and how to get it."""
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(left_out_line(left_out, config.stash[_MISSING]), yellow=True)
