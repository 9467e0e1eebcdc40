"""What the group's consumer is looked after by: Faust waits for ever for one that has ended."""

from __future__ import annotations

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from tables.client_tasks import ClientEndedError, check_consumer

#: How often the consumer's thread looks, in seconds.
WATCH_S = 1.0

log = structlog.get_logger(__name__)


def check_membership(consumer: AIOKafkaConsumer) -> None:
    """Nothing, for a consumer that works or can: one that waits for its last error to be heard joins again.

    Raises:
        ClientEndedError: it has ended. Whoever hears that ends the worker, which its supervisor starts again.
    """
    try:
        check_consumer(consumer)
    except ClientEndedError as error:
        log.error("the group's consumer has ended, and the worker with it", error=str(error))
        raise
    try:
        # Only this lets it go on; Faust never asks.
        consumer._coordinator.check_errors()
    except KafkaError as error:
        log.warning("joining the group again", error=repr(error))
