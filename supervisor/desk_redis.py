"""The desk of a queue whose Redis can be reached from here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Any

from scraper.jobs import (
    EventReader,
    InvalidJobError,
    JobResult,
    JobSpec,
    JobState,
    JobView,
    OpenedQueue,
)
from scraper.jobs.pace import JobPace
from supervisor.desk import Accepted, GivenJob, Refused
from supervisor.explain import explain_url
from supervisor.fleet import read_fleet
from supervisor.orders import chosen_supervisor, give_order
from supervisor.queue_health import read_health


class RedisDesk:
    """Asks the queue itself."""

    def __init__(self, queue: OpenedQueue) -> None:
        self._queue = queue

    async def submit(self, jobs: Sequence[GivenJob]) -> list[Accepted | Refused]:
        parsed: list[JobSpec | Refused] = []
        for job in jobs:
            try:
                parsed.append(self._queue.parse(job))
            except InvalidJobError as error:
                parsed.append(Refused(error.faults))
        specs = [item for item in parsed if isinstance(item, JobSpec)]
        handles = iter(await self._queue.add_jobs(specs) if specs else [])
        outcomes: list[Accepted | Refused] = []
        for item in parsed:
            if isinstance(item, Refused):
                outcomes.append(item)
            else:
                handle = next(handles)
                outcomes.append(Accepted(handle.id, handle.was_new))
        return outcomes

    async def jobs(
        self,
        *,
        states: Collection[JobState],
        customer_id: str | None,
        job_type: str | None,
        limit: int,
    ) -> list[JobView]:
        found: list[JobView] = []
        cursor: str | None = None
        async with self._queue.translated():
            while True:
                page = await self._queue.reader.jobs(
                    states=states, customer_id=customer_id, job_type=job_type,
                    limit=limit - len(found), cursor=cursor,
                )  # fmt: skip
                found += page.jobs
                cursor = page.next_cursor
                if cursor is None or len(found) >= limit:
                    return found

    async def job(self, job_id: str) -> JobView:
        return await self._queue.job(job_id)

    async def pace(self, job_id: str) -> JobPace | None:
        return await self._queue.pace(job_id)

    async def filtered(self, job_id: str) -> dict[str, int]:
        async with self._queue.translated():
            counts, _ = await self._queue.reader.filtered(job_id)
        return counts

    async def result(self, job_id: str) -> JobResult:
        return await self._queue.result(job_id)

    async def record_lines(self, job_id: str, cursor: int = 0) -> AsyncGenerator[bytes, None]:
        await self._queue.job(job_id)
        lines = self._queue.reader.record_lines(job_id, cursor)
        async with self._queue.translated(), aclosing(lines):
            async for line in lines:
                yield line

    async def errors(self, job_id: str) -> list[dict[str, Any]]:
        await self._queue.job(job_id)
        async with self._queue.translated():
            return await self._queue.reader.errors(job_id, limit=0)

    async def rejected(self, limit: int) -> list[dict[str, Any]]:
        async with self._queue.translated():
            found, _ = await self._queue.reader.rejected(limit)
        return found

    async def events(self, after: str | None, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        reader = EventReader(self._queue.blocking, self._queue.name, after)
        while True:
            async with self._queue.translated():
                batch = await reader.read(block_ms=1000 if follow else 1)
            for event in batch:
                yield event.to_json()
            if not batch and not follow:
                return

    async def explain(self, job_id: str, url: str) -> dict[str, Any]:
        async with self._queue.translated():
            return (await explain_url(self._queue, job_id, url)).to_json()

    async def workers(self) -> list[dict[str, Any]]:
        async with self._queue.translated():
            workers: list[dict[str, Any]] = (await read_fleet(self._queue))["workers"]
        return workers

    async def health(self) -> dict[str, Any]:
        return (await read_health(self._queue)).to_json()

    async def deliveries(self, job_id: str, limit: int) -> dict[str, Any]:
        await self._queue.job(job_id)
        async with self._queue.translated():
            return await self._queue.webhooks.log(job_id, limit)

    async def redeliver(self, job_id: str, delivery_id: str) -> None:
        await self._queue.job(job_id)
        await self._queue.redeliver(job_id, delivery_id)

    async def cancel(self, job_id: str) -> JobState:
        return await self._queue.cancel(job_id)

    async def pause(self, job_id: str) -> JobState:
        return await self._queue.pause(job_id)

    async def resume(self, job_id: str) -> JobState:
        return await self._queue.resume(job_id)

    async def retry(self, job_id: str, *, failed_pages_only: bool) -> None:
        await self._queue.retry(job_id, failed_pages_only=failed_pages_only)

    async def remove(self, job_id: str) -> None:
        await self._queue.remove(job_id)

    async def pause_queue(self, is_paused: bool) -> bool:
        change = self._queue.pause_queue if is_paused else self._queue.resume_queue
        return await change()

    async def order(
        self, supervisor: str | None, action: str, argument: str, timeout_s: float
    ) -> str:
        async with self._queue.translated():
            name = await chosen_supervisor(self._queue, supervisor)
            return await give_order(self._queue, name, action, argument, timeout_s)

    async def close(self) -> None:
        await self._queue.shutdown()
