"""Who calls, and the request's id: read from the headers, before anything else."""

from __future__ import annotations

import re
from collections.abc import Callable

from multidict import CIMultiDictProxy

from app.decision.refusals import Problem
from web.errors import invalid, unauthorized

REQUEST_ID = "X-Request-Id"
TENANT_ID = "X-Tenant-Id"
API_KEY = "X-API-Key"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_TENANT_ID = re.compile(r"[a-z0-9-]{1,64}")

Headers = CIMultiDictProxy[str]


def request_id(headers: Headers, chance: Callable[[], str]) -> str:
    """The caller's request id when it sent a sane one, else a new one."""
    given = headers.get(REQUEST_ID)
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return f"req_{chance()}"


def tenant(headers: Headers) -> str:
    """The caller's tenant as the header says it, which counts in sandbox mode.

    Raises:
        ApiError: 401 without the header; 400 when it is malformed or given twice with different values.
    """
    given = headers.getall(TENANT_ID, ())
    if not given:
        raise unauthorized(f"Send the {TENANT_ID} header.")
    if len(given) > 1 and len(set(given)) > 1:
        raise invalid((Problem(TENANT_ID, "was given twice with different values"),))
    if not _TENANT_ID.fullmatch(given[0]):
        raise invalid((Problem(TENANT_ID, "must be 1 to 64 of a-z, 0-9 and -"),))
    return given[0]
