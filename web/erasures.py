"""Erasing a customer over HTTP, and what is told of it: DELETE /customers/{id} and GET /erasures/{id}.

Rules:

1.  An erasure is a record on `profiles`, as anybody may write one; it is answered when its fold is durable,
    in the changelog. Who writes for this customer after the answer begins a new one.
2.  Nobody need be known to be erased: records may be on their way. Erasing twice is no error, but two
    erasures.
3.  The fact goes to the audit trail first; nothing is erased without.
4.  No answer names the customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from app.decision.fold import ERASED
from app.decision.ids import ERASURE, parse_routed_id
from app.decision.records import ProfileWrite
from config.topics import PROFILES
from tables.erased import Fact
from tables.layout import customer_hash
from tables.partition import PartitionClosedError
from tables.store import StoreError
from web.access import Operation, Role, areas
from web.engine import Engine
from web.erasure_body import ErasureBody, erasure_body
from web.errors import ApiError, not_found, pending
from web.facts import CUSTOMER_ERASED, record_fact
from web.routing import Lease, lease_customer, lease_partition
from web.submitting import refusal, submit
from web.view import Answer, ApiView, Call, encode

#: What DELETE /customers/{id} is.
ERASES = Operation(
    "Erase a customer: all that is kept of them goes, and nothing of before counts any more.",
    Role.ADMIN,
    areas("ingest"),
    answer=ErasureBody,
    statuses={202: "Erased; the answer says what remains where, and until when."},
)

_RETRY = "retry the same request: erasing twice is no error"


class ErasureRecord(ProfileWrite, omit_defaults=True, rename="camel"):
    """An erasure as it is written to Kafka: without the fields that say nothing."""


class ErasureView(ApiView):
    """What is told of one erasure, for as long as a record of before it may exist."""

    view_name = "erasure"
    view_path = "/api/v1/erasures/{erasureId:[^/]+}"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "When a customer was erased, and what remains where until when.",
            Role.ADMIN,
            areas("ingest"),
            answer=ErasureBody,
            errors=(404,),
        )
    }

    async def get(self, call: Call) -> Answer:
        erasure_id = call.path["erasureId"]
        routed = parse_routed_id(erasure_id)
        partitions = self.engine.settings.partitions
        if routed is None or routed.prefix != ERASURE or routed.partition >= partitions:
            raise _unknown(erasure_id)
        lease = lease_partition(self.engine, routed.partition)
        return Answer(_told(self.engine, lease, call, erasure_id))


async def erase(engine: Engine, call: Call, customer_id: str) -> Answer:
    """The answer to DELETE /customers/{id}, once the customer is erased for good.

    Raises:
        ApiError: 503, see `submit` and `record_fact`.
    """
    record = ErasureRecord(call.tenant_id, customer_id, erase=True)
    lease = lease_customer(engine, call.tenant_id, customer_id)
    await record_fact(engine, call, CUSTOMER_ERASED, customer_hash(lease.key).hex())
    lease.check()
    verdict = await submit(engine, lease, PROFILES, encode(record), _RETRY)
    if verdict.status != ERASED:
        raise refusal(verdict)
    try:
        return Answer(_told(engine, lease, call, verdict.interaction_id), 202)
    except (StoreError, PartitionClosedError) as error:
        raise pending(f"Erased, but not readable now; {_RETRY}.") from error


def _told(engine: Engine, lease: Lease, call: Call, erasure_id: str) -> bytes:
    fact = _fact_of(lease, call.tenant_id, erasure_id)
    if fact is None:
        raise _unknown(erasure_id)
    return encode(erasure_body(erasure_id, fact, engine.settings.app_id))


def _fact_of(lease: Lease, tenant_id: str, erasure_id: str) -> Fact | None:
    fact = lease.partition.erasing.fact(erasure_id)
    return fact if fact is not None and fact.tenant_id == tenant_id else None


def _unknown(erasure_id: str) -> ApiError:
    return not_found(f"Erasure {erasure_id[:128]} is not known, or no longer kept.", "erasureId")
