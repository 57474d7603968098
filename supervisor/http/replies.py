"""What the routes share: the queue, JSON answers, the job that a path names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import Depends, Path, Request
from starlette.responses import Response

from scraper.jobs import JobQueue, JobView
from supervisor.http.access import Principal, check_visible, principal_of
from supervisor.http.models import ErrorBody

JOB_ID = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"

_ERRORS = {
    400: "what came is no proper HTTP request",
    401: "a token is needed, or this one is not known",
    403: "not with this token, or from this place",
    404: "there is no such thing, or it is another customer's",
    405: "not with this method",
    406: "not in this format",
    408: "the body came too slowly",
    409: "not in this state",
    413: "the body is too large",
    415: "the body is no JSON by its Content-Type",
    422: "something in it is wrong; `fields` names what",
    500: "a fault of the service",
    503: "Redis does not answer, or too much is at work: try again",
    504: "the supervisor did not answer in time",
    507: "Redis is nearly full: nothing new is accepted",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The descriptions of the errors that a route answers, besides those of every route."""
    chosen = {401, 403, 422, 500, 503, *statuses}
    return {
        status: {"model": ErrorBody, "description": text}
        for status, text in _ERRORS.items()
        if status in chosen
    }


def reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as it goes out."""
    return Response(orjson.dumps(data), status, dict(headers or {}), "application/json")


def queue_of(request: Request) -> JobQueue:
    """The queue that this server is for."""
    queue: JobQueue = request.app.state.queue
    return queue


Asker = Annotated[Principal, Depends(principal_of)]
Queue = Annotated[JobQueue, Depends(queue_of)]


async def visible_job(
    queue: Queue,
    asker: Asker,
    job_id: Annotated[str, Path(alias="jobId", pattern=JOB_ID, description="the job's id")],
) -> JobView:
    """The job that the path names. Raises JobNotFoundError, also for another customer's."""
    return check_visible(asker, await queue.job(job_id))


VisibleJob = Annotated[JobView, Depends(visible_job)]
