"""Which browsers' pages may call: exact origins, listed by a tenant.

1.  Off for whoever lists none. There is no wildcard, and credentials are never allowed: keys are headers.
2.  A preflight carries no key, so any tenant's listing grants it; the answer to the request itself is shown
    to the page only when the caller's own tenant lists the origin.
3.  A request without `Origin` pays for none of this.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy

from app.decision.catalogue import CatalogSnapshot
from web.errors import ApiError

#: Seconds that a browser may keep a preflight's answer; an origin taken off the list may go on for as long.
PREFLIGHT_MAX_AGE_S = 600

ALLOWED_HEADERS = (
    "Content-Type, X-API-Key, Authorization, X-Tenant-Id, X-Requested-With, Idempotency-Key, If-Match, "
    "X-Request-Id"
)
EXPOSED_HEADERS = "X-Request-Id, Retry-After"


class _Granted(dict[str, str]):
    """The headers granted to one request."""


_NOTHING = _Granted()
_GRANTED = web.RequestKey("cors", _Granted)


def is_preflight(headers: CIMultiDictProxy[str]) -> bool:
    """Whether an OPTIONS request is a browser asking before it sends the real one."""
    return hdrs.ORIGIN in headers and hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers


def preflight_headers(
    headers: CIMultiDictProxy[str], snapshot: CatalogSnapshot, methods: str
) -> Mapping[str, str]:
    """What a preflight is granted.

    Args:
        methods: those that the path takes, separated by commas.

    Raises:
        ApiError: 403 when no tenant lists the origin.
    """
    origin = headers[hdrs.ORIGIN]
    if not snapshot.cors_origins.get(origin):
        message = "No tenant lists this origin: an admin can, in the tenant's settings (corsOrigins)."
        raise ApiError(403, "FORBIDDEN", message, headers={hdrs.VARY: "Origin"})
    return {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: methods,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_MAX_AGE_S),
        hdrs.VARY: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


def note_caller(request: web.Request, snapshot: CatalogSnapshot, tenant_id: str) -> None:
    """Remember, as soon as the caller's tenant is known, whether its pages may read the answer."""
    origins = snapshot.cors_origins
    if not origins:
        return
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and tenant_id in origins.get(origin, ()):
        request[_GRANTED] = _Granted(
            {
                hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
                hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED_HEADERS,
                hdrs.VARY: "Origin",
            }
        )


def granted_headers(request: web.Request) -> Mapping[str, str]:
    """The headers that let the page read this answer; none when it may not."""
    if hdrs.ORIGIN not in request.headers:
        return _NOTHING
    found: Mapping[str, str] = request.get(_GRANTED, _NOTHING)
    return found
