"""What a request can fail with: one error type, its codes, and how it is rendered.

Codes: VALIDATION_ERROR 400 · UNAUTHORIZED 401 · FORBIDDEN 403 · NOT_FOUND 404 ·
METHOD_NOT_ALLOWED 405 · CONFLICT 409 ·
PAYLOAD_TOO_LARGE 413 · UNSUPPORTED_MEDIA_TYPE 415 · INTERNAL_ERROR 500 · and 503 with Retry-After:
NOT_READY (nothing was done, or whatever was done cannot be seen here yet), OVERLOADED (nothing was done),
PENDING (the record is or may be on Kafka: retry with the same key only).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from app.decision.refusals import Problem, first_problems

#: Seconds a caller should wait before a retry: a partition's recovery, or a moment's overload.
RETRY_AFTER_S = 1


#: The code of a request of which nothing was done, its partition or the catalogue not being ready.
NOT_READY = "NOT_READY"

#: The code of a request of which nothing was done, too many being served.
OVERLOADED = "OVERLOADED"

#: The code of a request of which something is, or may be, on Kafka.
PENDING = "PENDING"


class ApiError(Exception):
    """A request's failure as the caller is told it. `problems` names every bad field."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.problems = problems
        self.headers = headers or {}


class ErrorBody(msgspec.Struct, rename="camel"):
    """The body of every error."""

    error: str
    code: str
    details: Sequence[Problem]
    request_id: str


def invalid(problems: Sequence[Problem]) -> ApiError:
    """400, naming the bad fields, if not too many. `problems` is not empty."""
    first = first_problems(problems[:1])[0]
    told = f"{first.field}: {first.message}" if first.field else f"The request body: {first.message}"
    more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more, see details)"
    return ApiError(400, "VALIDATION_ERROR", told + more, first_problems(problems))


def unauthorized(message: str) -> ApiError:
    return ApiError(401, "UNAUTHORIZED", message)


def forbidden(message: str) -> ApiError:
    return ApiError(403, "FORBIDDEN", message)


def not_found(message: str, field: str = "") -> ApiError:
    """404; `field` is the request's field that names nothing."""
    return ApiError(404, "NOT_FOUND", message, (Problem(field, message),) if field else ())


def method_not_allowed(method: str, allow: str) -> ApiError:
    message = f"{method} is not allowed here; allowed: {allow}"
    return ApiError(405, "METHOD_NOT_ALLOWED", message, headers={"Allow": allow})


def conflict(message: str) -> ApiError:
    return ApiError(409, "CONFLICT", message)


def too_large(limit_bytes: int) -> ApiError:
    message = f"The body is larger than {limit_bytes} bytes."
    # The rest of the body is not read, so the connection cannot carry another request.
    return ApiError(413, "PAYLOAD_TOO_LARGE", message, headers={"Connection": "close"})


def unsupported_media_type() -> ApiError:
    message = "The body must be JSON in UTF-8: send Content-Type: application/json."
    return ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)


def unsupported_coding() -> ApiError:
    message = "The body's Content-Encoding is none that is read here: send it plain, or as gzip or deflate."
    return ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)


def internal_error() -> ApiError:
    """500; says nothing of the cause, which the log has under the request's id."""
    return ApiError(500, "INTERNAL_ERROR", "Something failed on our side; quote the request id to support.")


def not_ready(message: str) -> ApiError:
    return _retryable(NOT_READY, message)


def overloaded() -> ApiError:
    return _retryable(OVERLOADED, "Too many requests are being served; retry in a moment.")


def pending(message: str) -> ApiError:
    return _retryable(PENDING, message)


def rate_limited(per_min: int, retry_after_s: int) -> ApiError:
    """429; `per_min` calls are admitted in any minute, the next one after so many seconds."""
    message = f"More than {per_min} calls a minute; retry in {retry_after_s} s."
    return ApiError(429, "RATE_LIMITED", message, headers={"Retry-After": str(retry_after_s)})


def quota_exceeded(limit: int, retry_after_s: int) -> ApiError:
    """429; `retry_after_s` are the seconds left of the month."""
    message = (
        f"The quota of {limit} decisions for this month (UTC) is used up; an administrator can raise it."
    )
    return ApiError(429, "QUOTA_EXCEEDED", message, headers={"Retry-After": str(retry_after_s)})


def _retryable(code: str, message: str) -> ApiError:
    return ApiError(503, code, message, headers={"Retry-After": str(RETRY_AFTER_S)})
