"""Sending a request on to the worker that owns its partition.

Rules:

1.  Method, path, query, body and headers go as they came, and the answer's status, headers and body come
    back as the owner gave them; only what belongs to a connection (RFC 9110, 7.6.1) stays behind, and the
    caller's API key, for which this worker's word stands.
2.  One hop: a request that was sent on is never sent on again. Who owns what is known by generation of the
    group, and in between two workers may each take the other for the owner.
3.  A request that certainly did not reach the owner is NOT_READY. One whose answer got lost may have had its
    effect: PENDING, if it writes.
4.  Owners that hang must not take this worker along: half of the requests in flight may wait for one owner,
    three quarters for all together.
5.  A request says of which application it is. A URL may be another one's by the time it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import aiohttp
import structlog
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from config.metrics import Metrics
from config.settings import Settings
from web.access import Caller
from web.caller import API_KEY, REQUEST_ID
from web.errors import ApiError, not_ready, overloaded, pending
from web.outbound import is_worker_url, read_answer
from web.vouching import VOUCHED, Voucher

log = structlog.get_logger(__name__)

#: Says that a request was sent on: the application's id and the URL of who did it.
FORWARDED_BY = "X-Offertide-Forwarded-By"

#: A connection to an owner is made within this many seconds, or not.
CONNECT_S = 1.0

#: The owner's own time-outs come first; this much later, in seconds, its answer counts as lost.
MARGIN_S = 1.0

#: What a caller is known by, when it is by a key.
CREDENTIALS = (API_KEY, hdrs.AUTHORIZATION)

_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: What the client would add by itself to a request that has it not.
_ADDED = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE)

_LOST = "It is unknown whether this was recorded: the owner's answer was lost; retry with the same key."


class ElsewhereError(Exception):
    """The request is another worker's: nothing of it was done here."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"partition {partition} is not on this worker")
        self.partition = partition


class Forwarded:
    """An owner's answer. `headers` are those to pass on."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: CIMultiDict[str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Forwarder:
    """Sends requests to their partitions' owners, over connections that are kept.

    Args:
        owners: worker URL by partition, as the group has it.
        voucher: signs who calls; None in sandbox mode, where everybody is believed.
    """

    def __init__(
        self,
        settings: Settings,
        owners: Callable[[], Mapping[int, str]],
        metrics: Metrics,
        voucher: Voucher | None = None,
    ) -> None:
        self._voucher = voucher
        self._own_url = own_url(settings)
        self._owners = owners
        self._total = metrics.http_forwarded_total
        self._app_id = settings.app_id
        self._limit_each = max(settings.max_in_flight // 2, 1)
        self._limit = max(settings.max_in_flight * 3 // 4, 1)
        self._closed = False
        self._waiting: Counter[str] = Counter()
        answered_ms = settings.publish_timeout_ms + settings.read_your_writes_timeout_ms
        self._timeout = aiohttp.ClientTimeout(answered_ms / 1000 + MARGIN_S, sock_connect=CONNECT_S)
        self._session: aiohttp.ClientSession | None = None

    async def forward(
        self, request: web.Request, body: bytes, request_id: str, partition: int, caller: Caller
    ) -> Forwarded:
        """The owner's answer, for a caller who is known here already.

        Raises:
            ApiError: 503 when there is none, with what that means for the caller's request.
        """
        if FORWARDED_BY in request.headers:
            self._total.labels("refused").inc()
            raise not_ready(f"Partition {partition} moves between workers; retry.")
        owner = self._owners().get(partition)
        if owner is None or owner == self._own_url or self._closed:
            self._total.labels("refused").inc()
            raise not_ready(f"Partition {partition} has no owner that is known here; retry.")
        if not is_worker_url(owner):
            self._total.labels("refused").inc()
            log.error("an owner advertises what is no worker's URL", partition=partition)
            raise not_ready(f"Partition {partition} has no owner that can be asked; retry.")
        if self._waiting[owner] >= self._limit_each or self._waiting.total() >= self._limit:
            self._total.labels("refused").inc()
            raise overloaded()
        self._waiting[owner] += 1
        try:
            return await self._send(owner, request, body, request_id, caller)
        finally:
            self._waiting[owner] -= 1

    async def close(self) -> None:
        """Close the connections for good; requests under way end as lost."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(
        self, owner: str, request: web.Request, body: bytes, request_id: str, caller: Caller
    ) -> Forwarded:
        url = URL(owner + request.rel_url.raw_path_qs, encoded=True)
        headers = _passed_on(request.headers)
        headers[REQUEST_ID] = request_id
        headers[FORWARDED_BY] = f"{self._app_id} {self._own_url}"
        # Whatever the caller sent under our own names says nothing.
        headers.popall(VOUCHED, None)
        if self._voucher is not None:
            headers[VOUCHED] = self._voucher.word(request, caller, request_id, body)
            # The word stands for the key, which opens more than this one request.
            for name in CREDENTIALS:
                headers.popall(name, None)
        # The server decoded the body.
        headers.popall(hdrs.CONTENT_ENCODING, None)
        try:
            async with self._kept_session().request(
                request.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                answer = Forwarded(response.status, _passed_on(response.headers), await read_answer(response))
                if request.method == hdrs.METH_HEAD and hdrs.CONTENT_LENGTH in response.headers:
                    answer.headers[hdrs.CONTENT_LENGTH] = response.headers[hdrs.CONTENT_LENGTH]
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._total.labels("unreachable").inc()
            raise not_ready("The customer's partition is on a worker that does not answer; retry.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            self._total.labels("lost").inc()
            log.warning("an owner's answer was lost", owner=owner, request_id=request_id, error=repr(error))
            raise _lost(request.method) from error
        self._total.labels("answered").inc()
        return answer

    def _kept_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            session = self._session = aiohttp.ClientSession(
                # Bounded by the requests in flight.
                connector=aiohttp.TCPConnector(limit=0),
                timeout=self._timeout,
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=_ADDED,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            # The client would send a PUT again by itself when its connection breaks; another one's may have
            # come in between.
            session._retry_connection = False
        return self._session


def check_application(headers: CIMultiDictProxy[str], app_id: str) -> None:
    """Raises ApiError, 503 NOT_READY, for a request that another application's worker sent on."""
    sent_by = headers.get(FORWARDED_BY)
    if sent_by is not None and sent_by.partition(" ")[0] != app_id:
        raise not_ready("This is another application's worker; retry.")


def own_url(settings: Settings) -> str:
    """This worker's URL, in the form that owners are named by."""
    return str(URL(settings.worker_url)).rstrip("/")


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Headers without those of one connection, and without length and host, which are made anew."""
    named = ",".join(headers.getall(hdrs.CONNECTION, ())).lower().split(",")
    dropped = _HOP_BY_HOP.union({"host", "content-length", "expect"}, (name.strip() for name in named))
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _lost(method: str) -> ApiError:
    if method in _SAFE:
        return not_ready("The customer's worker stopped while it answered; retry.")
    return pending(_LOST)
