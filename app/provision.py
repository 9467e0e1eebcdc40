"""Before anything joins: a broker that answers, and the topics with the partition counts they must have.

Existing topics are never altered: a customer's partition follows from the count, so a topic with another
count would put customers where nobody looks for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from app.cluster_view import ask_cluster
from config.settings import Settings
from config.topics import TopicSpec, topic_names, topic_specs
from tables import broken_connections

log = structlog.get_logger(__name__)

# The first client of most processes is made here.
broken_connections.install()

_ASK_EVERY_S = 0.2
_SAY_EVERY_S = 5.0
_REQUEST_TIMEOUT_MS = 10_000
#: How long a broker that answers may take to accept and show topics (its controller is elected, others join).
_TOPICS_TIMEOUT_S = 20.0
_RETRY_S = 0.25

_EXISTS = 36
#: Answers to a creation that a cluster which is still starting gives: timed out, coordinator loading, not the
#: controller, too few brokers for the copies.
_PASSING = frozenset({7, 14, 15, 16, 38, 41})


class ProvisionError(Exception):
    """The brokers or their topics cannot be used; the message says what to do. External."""


class BrokerUnreachableError(ProvisionError):
    """No broker answered in time. Retryable: the caller exits non-zero and is started again."""


class TopicMismatchError(ProvisionError):
    """Topics exist with other partition counts than the settings say. Not worth a retry."""


class TopicCreationError(ProvisionError):
    """The broker refused to create topics, or did not in time."""


async def wait_for_broker(settings: Settings) -> None:
    """Return once one of the brokers answers; one line is logged every few seconds until then.

    Raises:
        BrokerUnreachableError: none answered within `broker_start_timeout_ms` (0: one attempt).
    """
    started = time.monotonic()
    timeout_s = settings.broker_start_timeout_ms / 1000
    said = started
    while not await _any_answers(settings.bootstrap_servers):
        waited = time.monotonic() - started
        if waited >= timeout_s:
            raise BrokerUnreachableError(
                f"no Kafka broker answers at {settings.broker}, tried for {timeout_s:g} s: "
                "start Kafka, or set OFFERTIDE_BROKER to where it listens"
            )
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            log.warning(
                "waiting for Kafka", broker=settings.broker, waited_s=round(waited), at_most_s=timeout_s
            )
        await asyncio.sleep(_ASK_EVERY_S)


async def ensure_topics(settings: Settings, only: Collection[str] | None = None) -> None:
    """Create the topics that are missing and check the partition counts of all.

    Args:
        settings: the application, its partitions and copies.
        only: names of `config.topics` to care for; by default every topic of the application.

    Raises:
        TopicMismatchError: topics exist with other partition counts; all are named.
        TopicCreationError: the broker refused, or the topics did not appear in time.
        BrokerUnreachableError: the broker went away.
    """
    specs = topic_specs(settings.app_id, settings.partitions, settings.replicas, settings.min_insync_replicas)
    if only is not None:
        wanted = {topic_names(settings.app_id)[name] for name in only}
        specs = [spec for spec in specs if spec.name in wanted]
    reason = "they did not appear in its metadata"
    deadline = time.monotonic() + _TOPICS_TIMEOUT_S
    async with _admin(settings) as admin:
        while True:
            found = await _partition_counts(admin)
            _check_counts(settings, specs, found)
            missing = [spec for spec in specs if spec.name not in found]
            if not missing:
                return
            reason = await _create(admin, missing) or reason
            if time.monotonic() > deadline:
                names = ", ".join(spec.name for spec in missing)
                raise TopicCreationError(f"Kafka at {settings.broker} has not created {names}: {reason}")
            await asyncio.sleep(_RETRY_S)


async def topic_exists(settings: Settings, name: str) -> bool:
    """Whether a topic, a name of `config.topics`, is there; asking does not create it.

    Raises:
        BrokerUnreachableError: the broker went away.
    """
    async with _admin(settings) as admin:
        return topic_names(settings.app_id)[name] in await _partition_counts(admin)


async def _any_answers(addresses: Sequence[str]) -> bool:
    views = await asyncio.gather(*(asyncio.to_thread(ask_cluster, address) for address in addresses))
    return any(view is not None and view.brokers for view in views)


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client, whose trouble on the way is a `BrokerUnreachableError`."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=list(settings.bootstrap_servers),
        client_id=settings.app_id,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnreachableError(f"Kafka at {settings.broker} went away: {error!r}") from error
    finally:
        await admin.close()


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions of every topic. Asking for all topics, not for some, creates none that is missing."""
    topics = await admin.describe_topics(None)
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if topic["error_code"] == 0}


def _check_counts(settings: Settings, specs: Sequence[TopicSpec], found: dict[str, int]) -> None:
    wrong = [
        f"{spec.name} has {found[spec.name]}, not {spec.partitions}"
        for spec in specs
        if found.get(spec.name, spec.partitions) != spec.partitions
    ]
    if wrong:
        raise TopicMismatchError(
            f"topics on {settings.broker} have other partition counts than wanted: {'; '.join(wrong)}. "
            "The count is fixed once data is stored: set OFFERTIDE_PARTITIONS to what is there, choose "
            "another OFFERTIDE_APP_ID, or delete the topics and all they hold"
        )


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> str | None:
    """Ask for the topics; why some are not created yet, None when nothing stands in the way.

    Raises:
        TopicCreationError: a refusal that waiting does not mend.
    """
    if admin._client.cluster.controller is None:  # the client would fail on its absence instead of waiting
        await admin._client.force_metadata_update()
        return "the cluster has no controller yet"
    answer = await admin.create_topics(
        [NewTopic(spec.name, spec.partitions, spec.replicas, topic_configs=spec.config) for spec in specs]
    )
    reason = None
    for topic, code, message in ((error[0], error[1], error[2]) for error in answer.topic_errors):
        if code in _PASSING:
            reason = f"{topic}: {message or f'error {code}'}"
            log.info("topic not created yet", topic=topic, code=code, reason=message)
        elif code not in (0, _EXISTS):
            raise TopicCreationError(f"Kafka refused to create topic {topic}: {message or f'error {code}'}")
    return reason
