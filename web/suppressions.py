"""DELETE /customers/{id}/suppressions/{sid}: what an outcome closed is open again.

Rules:

1.  It goes through the log: a record on `profiles` that lifts, folded before the answer.
2.  A suppression that does not hold, or no longer when the record is folded, is 404. So of two calls at once
    one is answered 204, and a call that is repeated after an unclear answer may find that it worked.
3.  Suppressions of one policy in one place that touch are one, under the id of the one that ends last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from app.decision.fold import DUPLICATE, REFUSED
from config.topics import PROFILES
from web.access import Operation, Role, areas
from web.customer_body import ProfileRecord, checked_customer_id
from web.customer_state import holds
from web.errors import ApiError, not_found
from web.routing import lease_customer
from web.submitting import refusal, submit
from web.view import Answer, ApiView, Call, encode

_RETRY = "retry the same request"


class SuppressionView(ApiView):
    """One suppression of a customer."""

    view_name = "suppression"
    view_path = "/api/v1/customers/{customerId:[^/]+}/suppressions/{suppressionId:[^/]+}"
    operations: ClassVar[Mapping[str, Operation]] = {
        "DELETE": Operation(
            "Lift a suppression of a customer.",
            Role.EDITOR,
            areas("ingest"),
            statuses={204: "Lifted, and seen by the next decision."},
            errors=(404,),
        )
    }

    async def delete(self, call: Call) -> Answer:
        customer_id = checked_customer_id(call.path["customerId"])
        suppression_id = call.path["suppressionId"]
        lease = lease_customer(self.engine, call.tenant_id, customer_id)
        customer, now_ms = lease.partition.customer(lease.key), self.engine.clock_ms()
        held = [] if customer is None else customer.suppressions
        if not any(one.suppression_id == suppression_id and holds(one, now_ms) for one in held):
            raise _unknown()
        record = ProfileRecord(
            tenant_id=call.tenant_id, customer_id=customer_id, lift_suppressions=[suppression_id]
        )
        verdict = await submit(self.engine, lease, PROFILES, encode(record), _RETRY)
        if verdict.status == REFUSED:
            raise refusal(verdict)
        if verdict.status == DUPLICATE:
            raise _unknown()
        return Answer(b"", 204)


def _unknown() -> ApiError:
    return not_found("This customer has no such suppression, or it holds no longer.", "suppressionId")
