"""The shapes of requests and answers, as /openapi.json describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from scraper.jobs import JobState, PageState


class Shape(BaseModel):
    """Names are camelCase outside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class OpenShape(Shape):
    """More fields may come: a client takes those that it knows."""

    model_config = ConfigDict(extra="allow")


class StrictQuery(Shape):
    """A parameter that is not known is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


Cursor = Annotated[
    str | None, Field(description="`nextCursor` of the previous answer", max_length=500)
]
Limit = Annotated[int, Field(ge=1, le=1000, description="at most so many")]
Iso = Annotated[str | None, Field(description="ISO 8601, UTC; null: not yet")]
State = Literal["waiting", "delayed", "active", "paused", "completed", "failed", "cancelled"]
StateName = JobState
Customer = Annotated[str | None, Field(max_length=128, description="only this customer's")]


class FieldFault(Shape):
    field: str
    problem: str
    hint: str


class ErrorDetail(OpenShape):
    code: str = Field(description="for programs; does not change")
    message: str = Field(description="for people")
    hint: str = Field(description="what to do")
    request_id: str
    fields: list[FieldFault]


class ErrorBody(Shape):
    error: ErrorDetail


class Submitted(Shape):
    job_id: str
    is_new: bool = Field(description="false: a job of this id was there before; it is unchanged")


class SubmittedMany(Shape):
    jobs: list[Submitted]


class PageCountsShape(Shape):
    known: int
    queued: int
    delayed: int
    leased: int
    done: int
    failed: int
    skipped: int
    left: int = Field(description="given up when the job ended")


class Job(OpenShape):
    id: str
    type: str
    url: str
    customer_id: str
    state: State
    priority: int
    attempt: int
    attempts: int
    max_pages: int
    submitted_at: Iso
    started_at: Iso
    completed_at: Iso
    finish_reason: str | None
    error: str | None
    pages: PageCountsShape
    record_bytes: int
    body_bytes: int
    metadata: dict[str, Any]
    tls_verified: bool = Field(description="false: the job asked not to check certificates")


class Slowness(Shape):
    """What keeps a job from being faster; `delay` and `wait` in ms, 0 where they are no reason."""

    reason: str
    host: str
    delay: int
    wait: int
    text: str = Field(description="the same in words")


class Pace(Shape):
    rate: float = Field(description="pages/s of late")
    eta: int | None = Field(description="ms until its known pages are through")
    slow: Slowness | None = Field(description="null: nothing but the workers' speed")


class JobDetail(Job):
    filtered: dict[str, int] = Field(description="links left out, by reason")
    pace: Pace | None = Field(description="null when it has ended")


class JobList(Shape):
    jobs: list[Job]
    next_cursor: str | None


class Result(OpenShape):
    job_id: str
    status: Literal["completed", "failed", "cancelled"]
    pages_scraped: int
    total_pages: int
    pages_left: int
    errors: list[dict[str, Any]] = Field(description="the first 100")
    error_count: int
    started_at: Iso
    completed_at: Iso
    duration: int = Field(description="ms")
    metadata: dict[str, Any]


class RecordPage(Shape):
    data: list[dict[str, Any]] = Field(description="page records")
    next_cursor: str | None = Field(
        description="null: the job has ended and these were the last; while it runs, ask again "
        "with the cursor for those to come"
    )
    state: State


class PageError(OpenShape):
    url: str
    code: str


class ErrorPage(Shape):
    errors: list[PageError]
    next_cursor: str | None
    total: int


class Page(Shape):
    url: str
    state: Literal["queued", "delayed", "leased", "done", "failed", "skipped", "alias", "left"]
    depth: int
    found_on: str | None
    attempts: int
    note: str = Field(description="the code of a failed or skipped page; else details")


class PageList(Shape):
    pages: list[Page]
    next_cursor: str | None


class FilteredSample(Shape):
    reason: str
    url: str


class FilteredLinks(Shape):
    counts: dict[str, int] = Field(description="links left out, by reason")
    sample: list[FilteredSample] = Field(description="the newest of them")


class Explained(Shape):
    url: str
    verdict: str
    found_on: str | None
    attempts: int
    note: str
    place: int | None = Field(description="pages before it in its queue")
    sentence: str


class StateChange(Shape):
    job_id: str
    state_before: State
    state: State


class RetryRequest(StrictQuery):
    failed_pages: bool = Field(False, description="only the pages that failed")


class QueueChange(Shape):
    paused: bool
    changed: bool


class RejectedPush(OpenShape):
    payload: str
    reason: str
    door: str
    at: str


class RejectedList(Shape):
    rejected: list[RejectedPush]
    next_cursor: str | None


class WorkerShape(OpenShape):
    id: str = Field(description="<supervisor>/worker-<n>")


class SupervisorShape(OpenShape):
    name: str


class WorkerList(Shape):
    workers: list[WorkerShape]
    supervisors: list[SupervisorShape]


class OrderAnswer(Shape):
    supervisor: str
    answer: str


class WorkerCount(StrictQuery):
    count: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"]
    supervisor: Annotated[str | None, Field(max_length=64)] = Field(
        None, description="which one; needed where several run on this queue"
    )


class Health(OpenShape):
    healthy: bool
    problems: list[str] = Field(description="sentences that say what to do")


class Alive(Shape):
    status: Literal["ok"]


class HostState(OpenShape):
    host: str
    in_flight: int | None = Field(description="pages in flight; null: not for customers")
    is_waited_for: bool = Field(description="pages wait for its limit or its delay")
    looked_at_again: Iso
    next_at: Iso = Field(description="from when on the next page may be fetched")
    paused_until: Iso = Field(description="after 429 or 503")
    crawl_delay_ms: int
    slow_delay_ms: int


class HostList(Shape):
    hosts: list[HostState]


class HostsWanted(StrictQuery):
    """How many hosts."""

    limit: Limit = 100


class HistoryWanted(StrictQuery):
    """Which part of the history."""

    minutes: Annotated[int, Field(ge=1, le=1440, description="so far back")] = 60
    since: Annotated[int, Field(ge=0, le=10**14, description="epoch in ms, for what is new")] = 0
    points: Annotated[int, Field(ge=2, le=2000, description="every n-th, so that so many")] = 400


class Point(OpenShape):
    at: int = Field(description="epoch in ms")


class History(Shape):
    points: list[Point]


class WebhookShape(Shape):
    url: str = Field(description="without what is behind its path")
    events: list[str]
    is_signed: bool


class LoggedAttempt(OpenShape):
    outcome: Literal["delivered", "failed", "given_up", "gap"] = Field(
        description="failed: it is tried again; gap: so many events (`count`) were not queued"
    )
    at: Iso
    error: str | None
    id: str | None = Field(None, description="of the delivery, the same at each attempt")
    sequence: int | None = None


class DeliveryLog(Shape):
    webhook: WebhookShape | None = Field(description="null: the job has none")
    waiting: int = Field(description="deliveries that wait, the next one among them")
    attempts: int = Field(description="how often the next one was tried in vain")
    failing_since: Iso
    last_error: str | None
    next_attempt_at: Iso
    dropped: int = Field(description="events for which the queue was full")
    deliveries: list[LoggedAttempt] = Field(description="attempts, the newest first")


class DeliveriesWanted(StrictQuery):
    """How many attempts."""

    limit: Limit = 100


class Redelivery(Shape):
    delivery_id: str
    queued: bool


class PresetList(Shape):
    presets: dict[str, dict[str, Any]] = Field(description="name -> the job fields that it sets")


class JobFilters(StrictQuery):
    """Filters of a list of jobs; they combine."""

    state: list[StateName] = Field([], description="only in these states")
    customer: Customer = None
    type: Annotated[str | None, Field(max_length=100, description="only of this type")] = None
    limit: Limit = 50
    cursor: Cursor = None


class PageFilters(StrictQuery):
    """Filters of a list of pages."""

    state: list[
        Literal["queued", "delayed", "leased", "done", "failed", "skipped", "alias", "left"]
    ] = Field([])
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,20}$")] = None


class Slice(StrictQuery):
    """A part of a list."""

    limit: Limit = 100
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,15}$")] = None


def page_state(name: str) -> PageState:
    return PageState[name.upper()]
