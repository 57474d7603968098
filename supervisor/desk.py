"""What commands ask of a service, wherever it is: over Redis, or over HTTP with a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scraper.jobs import Fault, JobResult, JobsError, JobState, JobView
from scraper.jobs.pace import JobPace

# A job as it was given: its fields, or the text of a raw push.
GivenJob = Mapping[str, Any] | str


class ServiceUnreachableError(JobsError):
    """The service does not answer, or its Redis does not."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the service at {url} is out of reach: {reason}. Check --server")


class ServiceRefusesError(JobsError):
    """The service does not take this token."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is there now. `is_new` False: one of this id was there before."""

    job_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A job that does not validate."""

    faults: tuple[Fault, ...]


class Desk(Protocol):
    """Every method may raise a JobsError; RedisUnreachableError and ServiceUnreachableError when
    nobody answers."""

    async def submit(self, jobs: Sequence[GivenJob]) -> list[Accepted | Refused]:
        """What became of each; those that are wrong do not stop the others."""
        ...

    async def jobs(
        self,
        *,
        states: Collection[JobState],
        customer_id: str | None,
        job_type: str | None,
        limit: int,
    ) -> list[JobView]: ...

    async def job(self, job_id: str) -> JobView: ...

    async def filtered(self, job_id: str) -> dict[str, int]:
        """Links left out, by reason."""
        ...

    async def pace(self, job_id: str) -> JobPace | None:
        """How fast a job is and what holds it up; None where that is not known."""
        ...

    async def result(self, job_id: str) -> JobResult: ...

    def record_lines(self, job_id: str, cursor: int = 0) -> AsyncIterator[bytes]:
        """The page records from the `cursor`-th on as JSON texts, at constant memory."""
        ...

    async def errors(self, job_id: str) -> list[dict[str, Any]]: ...

    async def rejected(self, limit: int) -> list[dict[str, Any]]: ...

    def events(self, after: str | None, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        """Those behind `after` (None: from now on), to the newest or for ever."""
        ...

    async def explain(self, job_id: str, url: str) -> dict[str, Any]: ...

    async def workers(self) -> list[dict[str, Any]]: ...

    async def health(self) -> dict[str, Any]: ...

    async def deliveries(self, job_id: str, limit: int) -> dict[str, Any]:
        """How the calls of a job's webhook stand, with the newest attempts."""
        ...

    async def redeliver(self, job_id: str, delivery_id: str) -> None: ...

    async def cancel(self, job_id: str) -> JobState:
        """The state before."""
        ...

    async def pause(self, job_id: str) -> JobState:
        """The state before."""
        ...

    async def resume(self, job_id: str) -> JobState:
        """The state now."""
        ...

    async def retry(self, job_id: str, *, failed_pages_only: bool) -> None: ...

    async def remove(self, job_id: str) -> None: ...

    async def pause_queue(self, is_paused: bool) -> bool:
        """Whether that changed something."""
        ...

    async def order(
        self, supervisor: str | None, action: str, argument: str, timeout_s: float
    ) -> str:
        """Have a supervisor (None: the only one) restart, scale or drain; its answer."""
        ...

    async def close(self) -> None: ...
