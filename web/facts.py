"""That something was done, for the audit trail: who, what and to whom, and nothing of its content.

Rules:

1.  A fact is recorded before what it tells is done. When it cannot be recorded, nothing is done.
2.  Customers are named by their hash (`tables.layout.customer_hash`), as 32 hexadecimal digits.
"""

from __future__ import annotations

from typing import Protocol


class RecordFact(Protocol):
    """Records one fact durably."""

    async def __call__(
        self, *, tenant_id: str, actor: str, action: str, subject_hash: str, request_id: str
    ) -> None:
        """Returns when the fact is durable.

        Args:
            actor: who, see `Caller.actor`.
            action: what, for example `customer.erase`.
            subject_hash: to whom.

        Raises:
            ApiError: it is not; nothing may be done.
        """


async def record_nothing(
    *, tenant_id: str, actor: str, action: str, subject_hash: str, request_id: str
) -> None:
    """Records nothing: what an `Engine` has that was given no audit trail."""
