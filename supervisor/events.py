"""The events of a service: one frozen record a name. `docs/events.md` is generated from here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import orjson

from scraper.jobs import JobQueue, JobResult, QueueEvent
from supervisor.health import HealthStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all have. `at_ms` is an epoch by the Redis clock, None for events of this process.

    `id` is the place in the queue's event stream ("" where it is not from there).
    """

    name: ClassVar[str]
    at_ms: int | None = None
    id: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the stream and the HTTP API show it: camelCase, without what is unknown."""
        shown: dict[str, Any] = {"event": self.name}
        for item in fields(self):
            value = getattr(self, item.name)
            if value not in (None, "") and item.repr:
                to_json = getattr(value, "to_json", None)
                shown[_KEYS.get(item.name) or _camel(item.name)] = to_json() if to_json else value
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedJob:
    """How a job ended, without its page records; `duration` in ms from its first page on."""

    job_id: str
    status: str
    pages_scraped: int = 0
    total_pages: int = 0
    pages_left: int = 0
    failed: int = 0
    skipped: int = 0
    duration: int = 0
    finish_reason: str | None = None
    queue: JobQueue | None = field(default=None, repr=False, compare=False)

    async def full(self) -> JobResult:
        """The whole result with its errors. Raises JobNotFoundError once it was removed."""
        return await self._queue().result(self.job_id)

    async def data(self) -> AsyncIterator[dict[str, Any]]:
        """The page records, read from Redis in portions."""
        cursor: int | None = 0
        while cursor is not None:
            records, cursor = await self._queue().reader.records(self.job_id, cursor)
            for record in records:
                yield record

    def _queue(self) -> JobQueue:
        if self.queue is None:
            raise RuntimeError("this result did not come from a queue")
        return self.queue

    def to_json(self) -> dict[str, Any]:
        return {_camel(item.name): getattr(self, item.name) for item in fields(self) if item.repr}


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfWorker(Event):
    worker_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfSupervisor(Event):
    """`supervisor` is the name of the service that it is about."""

    supervisor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfJob(Event):
    job_id: str
    customer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_OfSupervisor):
    """The service runs; its first worker is ready."""

    name: ClassVar[str] = "started"
    worker_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReady(_OfWorker):
    """A worker process asked for work for the first time."""

    name: ClassVar[str] = "workerReady"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerActive(_OfJob):
    """A worker took the first page of a job."""

    name: ClassVar[str] = "workerActive"
    worker_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCompleted(_OfJob):
    """A job is completed; the worker committed its last page."""

    name: ClassVar[str] = "workerCompleted"
    result: FinishedJob
    worker_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailed(_OfJob):
    """A job failed for good."""

    name: ClassVar[str] = "workerFailed"
    error: str = ""
    result: FinishedJob | None = None
    worker_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerError(_OfWorker):
    """A worker process died or could not start. `restart_in_s` None: it is not started again."""

    name: ClassVar[str] = "workerError"
    error: str
    restart_in_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStalled(_OfWorker):
    """A worker is stuck and is killed; its leases go back at once.

    `job_id`: the job whose page it was handling, or one of those that it holds; `job_ids`: all of
    these. `memory` in bytes, `cpu` in percent of one core since the last look, None unknown.
    """

    name: ClassVar[str] = "workerStalled"
    job_id: str = ""
    job_ids: tuple[str, ...] = ()
    reason: str = ""
    url: str = ""
    memory: int | None = None
    cpu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecycled(_OfWorker):
    """A worker was replaced before it could do harm."""

    name: ClassVar[str] = "workerRecycled"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLeakSuspected(_OfWorker):
    """A worker's memory rose with every one of the last readings. Bytes, oldest first."""

    name: ClassVar[str] = "memoryLeakSuspected"
    readings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerClosed(_OfWorker):
    """A worker process ended because it was asked to."""

    name: ClassVar[str] = "workerClosed"


@dataclass(frozen=True, slots=True, kw_only=True)
class HighMemoryUsage(_OfSupervisor):
    """The threshold is passed (`level` warning), or nine tenths are (`critical`). Bytes;
    `percent_used` is 0 to 100 of the allowed memory."""

    name: ClassVar[str] = "highMemoryUsage"
    used: int
    total: int
    percent_used: float
    level: str = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthUpdate(_OfSupervisor):
    """The health record, every health interval."""

    name: ClassVar[str] = "healthUpdate"
    health: HealthStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ShuttingDown(_OfSupervisor):
    """The drain begins. `signal` is its name, "" when `stop()` was called."""

    name: ClassVar[str] = "shuttingDown"
    signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceShutdown(_OfSupervisor):
    """Workers are killed: the deadline is over or a second signal came. Leases go back too."""

    name: ClassVar[str] = "forceShutdown"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown(_OfSupervisor):
    """All workers have ended; the last event."""

    name: ClassVar[str] = "shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCommitted(_OfJob):
    """A page ended: `status` is done, failed or skipped; `code` says why for the last two."""

    name: ClassVar[str] = "pageCommitted"
    url: str
    status: str
    code: str = ""
    worker_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWaiting(_OfJob):
    """A job was accepted, or its delay is over. `delay` in ms."""

    name: ClassVar[str] = "jobWaiting"
    type: str = ""
    delay: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress(_OfJob):
    """At most once a second. `rate` in pages/s of late, `eta` in ms, `slow`: what holds it up.

    `slow` is None or {reason, host, delay, wait} (ms); docs/events.md has the reasons.
    """

    name: ClassVar[str] = "jobProgress"
    pages_scraped: int
    total_pages: int
    rate: float = 0.0
    eta: int | None = None
    slow: dict[str, Any] | None = None
    worker_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRetried(_OfJob):
    """A failed job runs again in `delay` ms; `attempt` counts the ones before."""

    name: ClassVar[str] = "jobRetried"
    attempt: int = 0
    delay: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled(_OfJob):
    """A job was cancelled; its records stay."""

    name: ClassVar[str] = "jobCancelled"
    result: FinishedJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRejected(Event):
    """A raw push was refused; `rejected` lists it with its reason."""

    name: ClassVar[str] = "jobRejected"
    door: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Event):
    """Events between the stream ids `after` and `before` were lost to this reader."""

    name: ClassVar[str] = "gap"
    after: str = ""
    before: str = ""
    count: int | None = None


_RECORDS: tuple[type[Event], ...] = (
    Started,
    WorkerReady,
    WorkerActive,
    WorkerCompleted,
    WorkerFailed,
    WorkerError,
    WorkerStalled,
    WorkerRecycled,
    WorkerClosed,
    MemoryLeakSuspected,
    HighMemoryUsage,
    HealthUpdate,
    ShuttingDown,
    ForceShutdown,
    Shutdown,
    PageCommitted,
    JobWaiting,
    JobProgress,
    JobRetried,
    JobCancelled,
    JobRejected,
    Gap,
)
EVENTS: Mapping[str, type[Event]] = {record.name: record for record in _RECORDS}

_KEYS = {"at_ms": "at"}
# Of the place in the stream, not of what happened.
_ENVELOPE = ("event", "at", "id")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def make_event(name: str, detail: Mapping[str, Any]) -> Event:
    """A record from fields named in either way (`workerId`, `worker_id`).

    Raises KeyError for an unknown event, TypeError for missing or unknown fields.
    """
    return EVENTS[name](**{_snake(key): value for key, value in detail.items()})


def signed(event: Event, supervisor: str) -> Event:
    """The event with its supervisor's name, where it has a field for that."""
    return replace(event, supervisor=supervisor) if isinstance(event, _OfSupervisor) else event


def stream_entry(event: Event) -> tuple[str, str]:
    """An event as `publish_events` takes it: its name, and the rest as JSON."""
    shown = {key: value for key, value in event.to_json().items() if key not in _ENVELOPE}
    return event.name, orjson.dumps(shown).decode()


def from_queue(event: QueueEvent, queue: JobQueue) -> Event | None:
    """The record of an event in the stream; None for one of a newer version.

    Raises TypeError, ValueError for one that cannot be read.
    """
    record = EVENTS.get(event.name)
    if record is None:
        return None
    detail = {_snake(key): value for key, value in event.detail.items()}
    if event.job_id:
        detail |= {"job_id": event.job_id, "customer_id": event.customer_id}
    if isinstance(detail.get("result"), dict):
        summary = {_snake(key): value for key, value in detail["result"].items()}
        summary |= {"job_id": event.job_id, "status": detail.get("status", ""), "queue": queue}
        detail["result"] = FinishedJob(**_known(FinishedJob, summary))
    if "health" in detail:
        detail["health"] = HealthStatus.from_json(detail["health"])
    if "readings" in detail:
        detail["readings"] = tuple(detail["readings"])
    detail |= {"id": event.id, "at_ms": event.at_ms}
    return record(**_known(record, detail))


def _known(record: type[Any], detail: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(record)}
    return {name: value for name, value in detail.items() if name in names}
