"""Jobs: list them, look at one, act on one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from scraper.jobs import JobState, JobView
from supervisor.http.errors import ApiError
from supervisor.http.models import (
    JobDetail,
    JobFilters,
    JobList,
    Result,
    RetryRequest,
    StateChange,
    StrictQuery,
)
from supervisor.http.replies import Asker, Queue, VisibleJob, errors, reply

router = APIRouter(tags=["jobs"])

LONGEST_WAIT_S = 60.0


class Wait(StrictQuery):
    """How long to wait for a job's end."""

    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="s to wait for its end")] = 0


@router.get("/jobs", response_model=JobList, responses=errors(), summary="List jobs")
async def list_jobs(
    queue: Queue, asker: Asker, filters: Annotated[JobFilters, Query()]
) -> Response:
    """The newest first. A page may be short and still have a `nextCursor`: go on with it.

    One customer's jobs come by submission, others by their last change of state.
    """
    if not asker.may_see(filters.customer or asker.customer_id or ""):
        raise ApiError(
            403, "other_customer", f"this token is for customer {asker.customer_id!r}",
            "leave `customer` out",
        )  # fmt: skip
    page = await queue.reader.jobs(
        states=filters.state or tuple(JobState),
        customer_id=asker.customer_id or filters.customer,
        job_type=filters.type,
        limit=filters.limit,
        cursor=filters.cursor,
    )
    jobs = [job.to_json() for job in page.jobs]
    return reply({"jobs": jobs, "nextCursor": page.next_cursor})


@router.get("/jobs/{jobId}", response_model=JobDetail, responses=errors(404), summary="One job")
async def job(queue: Queue, view: VisibleJob) -> Response:
    """The job as it stands, how fast it is and what holds it up."""
    counts, _ = await queue.reader.filtered(view.id)
    pace = None if view.state.is_final else await queue.pace(view.id)
    shown = pace.to_json() if pace else None
    return reply({**view.to_json(), "filtered": counts, "pace": shown})


@router.get(
    "/jobs/{jobId}/result", response_model=Result, responses=errors(404, 409),
    summary="How a job ended",
)  # fmt: skip
async def result(queue: Queue, view: VisibleJob, wait: Annotated[Wait, Query()]) -> Response:
    """409 while it has not ended; with `wait`, after that time. Its pages: `/data`."""
    if wait.wait and not view.state.is_final:
        return reply((await queue.wait_for(view.id, wait.wait)).to_json())
    return reply((await queue.result(view.id)).to_json())


_Action = Callable[..., Awaitable[Response]]


def _action(name: str, summary: str) -> Callable[[_Action], _Action]:
    """Something that is done to one job."""
    return router.post(
        f"/jobs/{{jobId}}/{name}", response_model=StateChange, responses=errors(404, 409),
        summary=summary,
    )  # fmt: skip


@_action("cancel", "Cancel a job")
async def cancel(queue: Queue, view: VisibleJob) -> Response:
    """Its records stay. One that has ended already is unchanged."""
    return _unless_ended(view, await queue.cancel(view.id), JobState.CANCELLED)


@_action("pause", "Pause a job")
async def pause(queue: Queue, view: VisibleJob) -> Response:
    """Pages in flight are finished. One that has ended is unchanged."""
    return _unless_ended(view, await queue.pause(view.id), JobState.PAUSED)


@_action("resume", "Resume a job")
async def resume(queue: Queue, view: VisibleJob) -> Response:
    """Go on with a paused job; any other is unchanged."""
    return _changed(view, view.state, await queue.resume(view.id))


@_action("retry", "Run a job again")
async def retry(
    queue: Queue, view: VisibleJob, request: Annotated[RetryRequest, Query()]
) -> Response:
    """What failed and what is left, or only what failed; recorded pages stay."""
    before = await queue.retry(view.id, failed_pages_only=request.failed_pages)
    return _changed(view, before, JobState.WAITING)


@router.delete(
    "/jobs/{jobId}", status_code=204, responses=errors(404, 409), summary="Delete an ended job"
)
async def remove(queue: Queue, view: VisibleJob) -> Response:
    """With all its records."""
    await queue.remove(view.id)
    return Response(status_code=204)


def _unless_ended(view: JobView, before: JobState, wanted: JobState) -> Response:
    return _changed(view, before, before if before.is_final else wanted)


def _changed(view: JobView, before: JobState, now: JobState) -> Response:
    return reply({"jobId": view.id, "stateBefore": before.value, "state": now.value})
