"""How lately the consumer group confirmed that this worker is one of its members: the lease to read by.

Rules:

1.  A group gives a member's partitions away at the earliest one session time-out after the last heartbeat it
    has answered. That is counted here from when the heartbeat was sent, on a clock that runs on while the
    process is stopped or the machine asleep: a worker that thaws knows at once that its time is over.
2.  Only an answer without an error counts. (The client goes on answering heartbeats with "rebalance in
    progress" as if all were well, and after a session without any merely looks for the coordinator.)
"""

from __future__ import annotations

import asyncio
from typing import Any

from config.boot_clock import boot_s

#: The lease ends this part of a session time-out after the heartbeat: the rest is for answers under way.
LEASE_PART = 0.75

#: How often a waiting partition looks, in seconds.
_POLL_S = 0.02

_CONFIRMING = ("HeartbeatResponse", "SyncGroupResponse")


class Membership:
    """One worker's membership. Written by the consumer's thread, read by all.

    Args:
        session_timeout_ms: of the group.
    """

    def __init__(self, session_timeout_ms: int) -> None:
        self._lease_s = session_timeout_ms / 1000 * LEASE_PART
        #: When the last confirmed heartbeat or assignment was asked for, boot time; 0 before the first.
        self.confirmed_s = 0.0

    def holds(self) -> bool:
        """Whether state may be answered from now."""
        return boot_s() - self.confirmed_s < self._lease_s

    async def confirmed(self, since_s: float) -> None:
        """Return once the group has lately confirmed something asked after `since_s`, boot time."""
        while self.confirmed_s <= since_s or not self.holds():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(_POLL_S)

    def watch(self, coordinator: Any) -> None:
        """Look at the answers that a group coordinator client gets."""
        send = coordinator._send_req

        async def noting(request: Any) -> Any:
            asked_s = boot_s()
            response = await send(request)
            if type(response).__name__.startswith(_CONFIRMING) and response.error_code == 0:
                self.confirmed_s = asked_s
            return response

        coordinator._send_req = noting
