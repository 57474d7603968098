"""What the API answers when it cannot do what was asked: one shape, with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from scraper.jobs import (
    Fault,
    InvalidJobError,
    JobNotFoundError,
    JobsError,
    JobStateError,
    QueueFullError,
    RedisUnreachableError,
    ResultTimeoutError,
)
from scraper.jobs.client import QueueUnwritableError
from scraper.jobs.listing import InvalidCursorError
from supervisor.orders import NoSupervisorError, OrderError, OrderPendingError

RETRY_AFTER_S = "2"


class ApiError(Exception):
    """An answer that is no success. `fields`: what is wrong with which field or parameter."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        fields: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.fields = tuple(fields)
        self.headers = dict(headers or {})
        self.detail = dict(detail or {})

    def response(self, request_id: str) -> Response:
        """The answer as it goes out."""
        body = {
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
                "requestId": request_id,
                "fields": [
                    {"field": fault.field, "problem": fault.problem, "hint": fault.hint}
                    for fault in self.fields
                ],
                **self.detail,
            }
        }
        return Response(orjson.dumps(body), self.status, self.headers, "application/json")


def not_found(path: str) -> ApiError:
    return ApiError(404, "not_found", f"there is nothing at {path[:200]}", "the paths are in /docs")


# The first class that fits says status, code and what to do.
_BY_ERROR: tuple[tuple[type[JobsError], int, str, str], ...] = (
    (JobNotFoundError, 404, "job_not_found", "look at GET /jobs for those that are there"),
    (ResultTimeoutError, 409, "job_not_finished", "ask again, or follow GET /jobs/{id}/events"),
    (JobStateError, 409, "job_state", "look at its state with GET /jobs/{id}"),
    (QueueFullError, 507, "queue_full",
     "remove finished jobs or raise maxmemory; then submit again with the same jobId"),
    (QueueUnwritableError, 503, "queue_unwritable", "mend the Redis server, then try again"),
    (RedisUnreachableError, 503, "redis_unreachable", "try again in a few seconds"),
    (InvalidCursorError, 422, "invalid_cursor", "begin again without a cursor"),
    (OrderPendingError, 504, "order_unanswered", "look at GET /workers before you repeat it"),
    (NoSupervisorError, 409, "no_supervisor", "GET /workers lists the supervisors"),
    (OrderError, 409, "order_refused", "look at GET /workers"),
)  # fmt: skip


def api_error(error: JobsError) -> ApiError:
    """One of our errors as an answer."""
    if isinstance(error, InvalidJobError):
        return ApiError(
            422, "invalid_job", str(error), "mend the fields named and send it again",
            fields=error.faults,
        )  # fmt: skip
    for kind, status, code, hint in _BY_ERROR:
        if isinstance(error, kind):
            headers = {"Retry-After": RETRY_AFTER_S} if status in (503, 507) else {}
            return ApiError(status, code, str(error), hint, headers=headers)
    return ApiError(500, "failed", str(error), "the service's log says more")


def plain_error(status: int, headers: Mapping[str, str] | None = None) -> ApiError:
    """An answer of the framework's own, such as 405."""
    phrase = HTTPStatus(status).phrase
    hints = {405: "the Allow header names the methods", 415: "send Content-Type: application/json"}
    return ApiError(
        status, phrase.lower().replace(" ", "_"), phrase.lower(), hints.get(status, "see /docs"),
        headers=headers,
    )  # fmt: skip
