"""That something was done, for the audit trail: who, what and to whom, and nothing of its content.

Rules:

1.  A fact is recorded before what it tells is done. When it cannot be recorded, nothing is done: better a
    fact whose deed then failed than a deed that nobody can find.
2.  Customers are named by their hash (`tables.layout.customer_hash`), as 32 hexadecimal digits.
3.  Any worker writes: its desk begins anew where another one wrote meanwhile, see `catalogue_desk`. Only a
    change of the catalogue waits for the owner of partition 0.
"""

from __future__ import annotations

from tables.catalogue_commit import CatalogueWriteError
from tables.catalogue_desk import DeskFullError, DeskUnseenError
from tables.catalogue_topic import CatalogueReadError
from web.editing import actor
from web.engine import Engine
from web.errors import not_ready, overloaded
from web.view import Call

#: A customer was erased.
CUSTOMER_ERASED = "customer.erased"


async def record_fact(engine: Engine, call: Call, action: str, subject: str) -> None:
    """Returns when the fact is durable.

    Args:
        action: what, for example `CUSTOMER_ERASED`.
        subject: to whom; a customer by its hash.

    Raises:
        ApiError: 503, it is not, or nobody knows; nothing may be done.
    """
    try:
        await engine.desk.record_fact(
            call.tenant_id, actor(call), action, subject, request_id=call.request_id
        )
    except DeskUnseenError:
        # It is durable; only this worker has not read it yet.
        return
    except DeskFullError as error:
        raise overloaded() from error
    except (CatalogueReadError, CatalogueWriteError) as error:
        raise not_ready("The audit trail takes nothing now, so nothing was done; retry.") from error
