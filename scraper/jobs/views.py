"""What readers get: a job's state, its result, the queue's counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from scraper.jobs.states import JobState


def epoch_ms(iso: str | None) -> int | None:
    """What `iso_time` was made of."""
    return None if iso is None else round(datetime.fromisoformat(iso).timestamp() * 1000)


def iso_time(epoch_ms: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds; None stays None."""
    if epoch_ms is None:
        return None
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class PageCounts:
    """Pages of a job by state. known = queued + delayed + leased + done + failed + skipped.

    `left`: open pages that were given up when the job ended; they are not known any more.
    """

    known: int
    queued: int
    delayed: int
    leased: int
    done: int
    failed: int
    skipped: int
    left: int


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stands. Times are epochs in ms, None where that has not happened yet."""

    id: str
    type: str
    url: str
    customer_id: str
    state: JobState
    priority: int
    attempt: int
    attempts: int
    max_pages: int
    submitted_at: int
    started_at: int | None
    finished_at: int | None
    finish_reason: str | None
    error: str | None
    pages: PageCounts
    record_bytes: int
    body_bytes: int
    memory: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tls_verified: bool = True

    @classmethod
    def from_hash(cls, job_id: str, raw: Mapping[bytes, bytes]) -> JobView:
        """From the hash `job:<id>`."""
        text = {key.decode(): value.decode() for key, value in raw.items()}

        def number(name: str) -> int:
            return int(float(text.get(name, 0)))

        def moment(name: str) -> int | None:
            return number(name) if name in text else None

        spec = json.loads(text["spec"])
        return cls(
            id=job_id,
            type=text["type"],
            url=text["start_url"],
            customer_id=text["customer"],
            state=JobState(text["state"]),
            priority=number("priority"),
            attempt=number("attempt"),
            attempts=number("attempts"),
            max_pages=number("max_pages"),
            submitted_at=number("submitted_at"),
            started_at=moment("started_at"),
            finished_at=moment("finished_at"),
            finish_reason=text.get("finish_reason"),
            error=text.get("error"),
            pages=PageCounts(**{name: number(name) for name in PageCounts.__dataclass_fields__}),
            record_bytes=number("bytes"),
            body_bytes=number("body_bytes"),
            memory={
                name: value
                for name, value in json.loads(text.get("memory") or "{}").items()
                if name != "relief"
            },
            metadata=spec.get("metadata") or {},
            tls_verified=spec.get("verifyTls", True),
        )

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> JobView:
        """From what `to_json` made."""
        return cls(
            id=shown["id"],
            type=shown["type"],
            url=shown["url"],
            customer_id=shown["customerId"],
            state=JobState(shown["state"]),
            priority=shown["priority"],
            attempt=shown["attempt"],
            attempts=shown["attempts"],
            max_pages=shown["maxPages"],
            submitted_at=epoch_ms(shown["submittedAt"]) or 0,
            started_at=epoch_ms(shown["startedAt"]),
            finished_at=epoch_ms(shown["completedAt"]),
            finish_reason=shown["finishReason"],
            error=shown["error"],
            pages=PageCounts(**shown["pages"]),
            record_bytes=shown["recordBytes"],
            body_bytes=shown["bodyBytes"],
            metadata=shown["metadata"],
            tls_verified=shown.get("tlsVerified", True),
        )

    @property
    def duration_ms(self) -> int | None:
        """From the first page leased to the end; None before both."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at

    def to_json(self) -> dict[str, Any]:
        """The job with the camelCase names that users see."""
        return {
            "id": self.id,
            "type": self.type,
            "url": self.url,
            "customerId": self.customer_id,
            "state": self.state.value,
            "priority": self.priority,
            "attempt": self.attempt,
            "attempts": self.attempts,
            "maxPages": self.max_pages,
            "submittedAt": iso_time(self.submitted_at),
            "startedAt": iso_time(self.started_at),
            "completedAt": iso_time(self.finished_at),
            "finishReason": self.finish_reason,
            "error": self.error,
            "pages": asdict(self.pages),
            "recordBytes": self.record_bytes,
            "bodyBytes": self.body_bytes,
            "metadata": self.metadata,
            "tlsVerified": self.tls_verified,
        }


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a finished job ended. `data` (the page records) is loaded on demand, never in here.

    `errors` holds the first 100; `error_count` counts all. `duration` in ms.
    """

    job_id: str
    status: str
    pages_scraped: int
    total_pages: int
    pages_left: int
    errors: list[dict[str, Any]]
    error_count: int
    started_at: str | None
    completed_at: str | None
    duration: int
    metadata: dict[str, Any]

    @classmethod
    def from_view(cls, view: JobView, errors: list[dict[str, Any]], error_count: int) -> JobResult:
        duration = view.duration_ms or 0
        return cls(
            job_id=view.id,
            status=view.state.value,
            pages_scraped=view.pages.done,
            total_pages=view.pages.known,
            pages_left=view.pages.left,
            errors=errors,
            error_count=error_count,
            started_at=iso_time(view.started_at),
            completed_at=iso_time(view.finished_at),
            duration=duration,
            metadata={
                **view.metadata,
                "memoryUsage": view.memory,
                "processingTime": duration,
                "finishReason": view.finish_reason,
                **({} if view.tls_verified else {"tlsVerified": False}),
            },
        )

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> JobResult:
        """From what `to_json` made."""
        return cls(
            job_id=shown["jobId"],
            status=shown["status"],
            pages_scraped=shown["pagesScraped"],
            total_pages=shown["totalPages"],
            pages_left=shown["pagesLeft"],
            errors=shown["errors"],
            error_count=shown["errorCount"],
            started_at=shown["startedAt"],
            completed_at=shown["completedAt"],
            duration=shown["duration"],
            metadata=shown["metadata"],
        )

    def to_json(self) -> dict[str, Any]:
        """The result with the names of `interfaces.md` §5, without `data`."""
        return {
            "jobId": self.job_id,
            "status": self.status,
            "pagesScraped": self.pages_scraped,
            "totalPages": self.total_pages,
            "pagesLeft": self.pages_left,
            "errors": self.errors,
            "errorCount": self.error_count,
            "startedAt": self.started_at,
            "completedAt": self.completed_at,
            "duration": self.duration,
            "metadata": self.metadata,
        }


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The queue at a glance. `backlog`: jobs not finished and not paused."""

    by_state: dict[str, int]
    workers: int
    rejected: int
    is_paused: bool
    totals: dict[str, int]

    @property
    def backlog(self) -> int:
        return sum(self.by_state[state] for state in ("waiting", "delayed", "active"))
