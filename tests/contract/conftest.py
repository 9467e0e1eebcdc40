"""One worker for all tests of the contract: each has customers of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from app.embedded import EmbeddedBroker
from tests.contract.service import Service, serving
from tests.kafka.broker import Broker


@pytest.fixture(scope="session")
def service(embedded_broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The worker, ready, and the keys to it."""
    broker = Broker(embedded_broker.bootstrap, "embedded")
    folder = tmp_path_factory.mktemp("contract")
    with serving(broker, f"contract-{uuid.uuid4().hex[:10]}", folder) as made:
        yield made
