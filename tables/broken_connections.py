"""A Kafka connection that is gone is said to be gone, whatever the event loop calls it.

When a connection breaks, uvloop's `write` raises RuntimeError ("the handler is closed") until aiokafka's own
reader of it has noticed. aiokafka's `send` expects OSError only (aio-libs/aiokafka, issue 1038), so the task
that happened to send died of it, for ever: a producer's sender, a consumer's fetcher or heartbeat, a client's
metadata. Here it is the error that all of them live with, and try again after.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

_send = AIOKafkaConnection.send


def _send_or_break(self: Any, request: Any, expect_response: bool = True) -> Any:
    if self._writer is not None and self._writer.is_closing():
        # Else it would wait out a whole request time-out for an answer that cannot come.
        self.close(reason=CloseReason.CONNECTION_BROKEN)
    try:
        return _send(self, request, expect_response)
    except KafkaError:
        raise
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def install() -> None:
    """Let every aiokafka connection of this process send so; there is no option for it."""
    AIOKafkaConnection.send = _send_or_break
