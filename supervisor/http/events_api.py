"""Events as they happen, of the queue or of one job, as server-sent events."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from scraper.jobs import EventReader, JobQueue, QueueEvent
from supervisor.events import EVENTS
from supervisor.http.errors import ApiError
from supervisor.http.event_stream import MAX_CLIENTS, EventHub, sse
from supervisor.http.models import StrictQuery
from supervisor.http.replies import Asker, Queue, VisibleJob, errors

router = APIRouter(tags=["events"])

_PLACE = r"^[0-9]{1,19}-[0-9]{1,19}(\.[0-9]{1,6})?$"
_ENDS = frozenset({"workerCompleted", "workerFailed", "jobCancelled"})
# One event of a stream.
_EVENT = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("id", "event", "data")},
        "retry": {"type": "integer"},
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "server-sent events: `event` its name, `id` its place, `data` JSON; "
        "`gap` says that events were trimmed before this client came to them",
        "content": {"text/event-stream": {"schema": _EVENT}},
    }
}

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=_PLACE, description="go on behind this event"),
]


Follow = Annotated[bool, Field(description="false: end with the newest event")]


class EventFilters(StrictQuery):
    """Which events."""

    name: list[str] = Field([], description="only these events")
    customer: Annotated[str | None, Field(max_length=128)] = None
    after: Annotated[
        str | None, Field(pattern=_PLACE, description="as Last-Event-ID; 0-0: from the oldest kept")
    ] = None
    follow: Follow = True


class Span(StrictQuery):
    """Where to begin and to end."""

    after: Annotated[str | None, Field(pattern=_PLACE, description="as Last-Event-ID")] = None
    follow: Follow = True


def _hub(request: Request) -> EventHub:
    hub: EventHub = request.app.state.hub
    if hub.clients >= MAX_CLIENTS:
        raise ApiError(
            503, "busy", f"{MAX_CLIENTS} event streams are open already", "close some",
            headers={"Retry-After": "5"},
        )  # fmt: skip
    # From here on this request only waits.
    request.scope["leave_work"]()
    return hub


def _reader(queue: JobQueue, after: str | None) -> EventReader:
    return EventReader(queue.redis, queue.name, after)


@router.get(
    "/events", response_class=StreamingResponse, responses={**_STREAM, **errors()},
    summary="All events",
)  # fmt: skip
async def events(
    request: Request,
    queue: Queue,
    asker: Asker,
    filters: Annotated[EventFilters, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """From now on, or from behind `Last-Event-ID` without a gap. A customer hears of its own jobs
    only."""
    names = frozenset(filters.name)
    if unknown := sorted(names - EVENTS.keys()):
        raise ApiError(
            422, "unknown_event", f"there is no event {unknown[0]!r}",
            f"the events are {', '.join(sorted(EVENTS))}",
        )  # fmt: skip
    if not asker.may_see(filters.customer or asker.customer_id or ""):
        raise ApiError(
            403, "other_customer", f"this token is for customer {asker.customer_id!r}",
            "leave `customer` out",
        )  # fmt: skip
    customer_id = asker.customer_id or filters.customer

    def wants(event: QueueEvent) -> bool:
        if event.name == "gap":
            return True
        is_theirs = customer_id is None or event.customer_id == customer_id
        return is_theirs and (not names or event.name in names)

    reader = _reader(queue, last_event_id or filters.after)
    await reader.start()
    found = sse(_hub(request), reader, wants, follow=filters.follow)
    return StreamingResponse(found, media_type="text/event-stream")


@router.get(
    "/jobs/{jobId}/events",
    response_class=StreamingResponse,
    responses={204: {"description": "nothing more comes: the job has ended"}, **_STREAM,
               **errors(404)},
    summary="The events of one job",
)  # fmt: skip
async def job_events(
    request: Request,
    queue: Queue,
    view: VisibleJob,
    span: Annotated[Span, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """From its submission on, or from behind `Last-Event-ID`; ends with the job, if not before."""

    def wants(event: QueueEvent) -> bool:
        return event.job_id == view.id or event.name == "gap"

    def is_last(event: QueueEvent) -> bool:
        return event.name in _ENDS and event.at_ms >= (view.finished_at or 0)

    after = last_event_id or span.after
    if after and view.finished_at and int(after.partition("-")[0]) >= view.finished_at:
        return Response(status_code=204)
    reader = _reader(queue, after or f"{view.submitted_at - 1}-0")
    found = sse(_hub(request), reader, wants, is_last, follow=span.follow)
    return StreamingResponse(found, media_type="text/event-stream")
