"""The queue for programs: add jobs, follow them, act on them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisClusterException, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scraper.jobs.cluster import set_home
from scraper.jobs.config import Config
from scraper.jobs.connection import REDIS_ERRORS, RedisUnreachableError
from scraper.jobs.durability import NotReplicatedError, ReplicaAcknowledgement
from scraper.jobs.ending import end_tasks
from scraper.jobs.errors import JobsError
from scraper.jobs.events import EventReader
from scraper.jobs.leases import Pace
from scraper.jobs.model import JobSpec, parse_job
from scraper.jobs.pace import JobPace
from scraper.jobs.reading import Reader
from scraper.jobs.states import JobState
from scraper.jobs.transitions import Submission, Transitions
from scraper.jobs.views import JobResult, JobView
from scraper.jobs.webhooks import Webhooks

# Submits stop at this share of Redis' maxmemory, so that commits still fit.
SUBMIT_UP_TO = 0.9
MEMORY_CHECK_S = 1.0
SUBMIT_BATCH = 500
# How values in Redis are laid out: docs/decisions/0009-stored-format.md says when it changes.
STORED_FORMAT = 1

T = TypeVar("T")


class JobNotFoundError(JobsError):
    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"there is no job {job_id!r}: it was never accepted, or its result was removed "
            "after resultTtl"
        )


class JobStateError(JobsError):
    """The job is in a state in which that can't be done."""


class QueueFullError(JobsError):
    def __init__(self, detail: str) -> None:
        super().__init__(
            f"Redis is nearly full ({detail}): the job was not accepted. Remove finished jobs, "
            "lower RESULT_TTL, or raise maxmemory; then submit again with the same jobId"
        )


class SubmitUnknownError(JobsError):
    """The job is on the primary and perhaps on no replica: a fail-over may lose it."""

    def __init__(self, detail: str, job_ids: Sequence[str] = ()) -> None:
        self.job_ids = tuple(job_ids)
        shown = ", ".join(job_ids[:3]) + (", ..." if len(job_ids) > 3 else "")
        super().__init__(
            f"unknown whether the job is safe, repeat it with the same jobId ({shown}): {detail}"
        )


class NewerQueueError(JobsError):
    def __init__(self, queue: str, written: int) -> None:
        super().__init__(
            f"the queue {queue!r} was written by a newer release (format {written}, this one knows "
            f"{STORED_FORMAT}): upgrade this machine, too"
        )


class QueueUnwritableError(JobsError):
    def __init__(self, detail: str) -> None:
        super().__init__(f"Redis refuses writes: {detail}")


class ResultTimeoutError(JobsError, TimeoutError):
    def __init__(self, job_id: str, timeout_s: float) -> None:
        super().__init__(f"job {job_id!r} did not finish within {timeout_s:g} s; it goes on")


@dataclass(frozen=True, slots=True)
class JobHandle:
    """An accepted job. `was_new` False: a job of this id was there before."""

    id: str
    was_new: bool
    queue: JobQueue

    async def result(self, timeout: float | None = None) -> JobResult:
        """Wait until the job ends. `timeout` in s, None waits for ever.

        Raises ResultTimeoutError; the job is not touched by that.
        """
        return await self.queue.wait_for(self.id, timeout)


def new_job_id() -> str:
    """A short id that sorts by time and is never given twice."""
    return f"{int(time.time() * 1000):x}-{secrets.token_hex(5)}"


def replicas_of(config: Config) -> ReplicaAcknowledgement | None:
    """What DURABILITY asks for; None leaves it to the server alone."""
    if not config.replicas_wanted:
        return None
    return ReplicaAcknowledgement(config.replicas_wanted, config.durability_wait_ms)


class JobQueue:
    """One queue in Redis. Every method may raise RedisUnreachableError."""

    def __init__(
        self,
        redis: Any,
        config: Config,
        *,
        job_types: Collection[str],
        blocking: Any = None,
        presets: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """`redis` repeats no command by itself; `blocking` is for long reads (default: `redis`)."""
        self.redis = redis
        self.url = config.server_url or "unix socket of the embedded server"
        self.blocking = blocking if blocking is not None else redis
        self.config = config
        self.name = config.queue_name
        self.job_types = frozenset(job_types)
        self.presets = presets
        self.transitions = Transitions(redis, self.name, replicas_of(config))
        for client in (redis, self.blocking):
            set_home(client, self.transitions.keys.key("meta"))
        self.reader = Reader(redis, self.name)
        self.webhooks = Webhooks(redis, self.transitions)
        self._memory_checked_s = -MEMORY_CHECK_S
        self._memory_detail = ""
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._follower: asyncio.Task[None] | None = None

    async def initialize(self) -> None:
        """Reach the server and write the limits that the scripts need.

        Raises NewerQueueError.
        """
        async with self.translated():
            await self.redis.ping()
            meta = self.transitions.keys.key("meta")
            await self.redis.hsetnx(meta, "format", STORED_FORMAT)
            written = int(await self.redis.hget(meta, "format") or 0)
            if written > STORED_FORMAT:
                raise NewerQueueError(self.name, written)
            await self.redis.hset(
                self.transitions.keys.key("settings"),
                mapping={
                    "events_kept": self.config.events_kept,
                    "finished_jobs_kept": self.config.finished_jobs_kept,
                    "max_job_bytes": self.config.max_job_bytes,
                    "rejected_kept": 10_000,
                    "webhook_queue": self.config.webhook_queue,
                    "webhook_log": self.config.webhook_log,
                    "hooks_kept_ms": int((self.config.webhook_give_up_s + 3600) * 1000),
                },
            )

    async def shutdown(self) -> None:
        """Close the connections; jobs go on."""
        if self._follower:
            await end_tasks([self._follower])
        await self.redis.aclose()
        if self.blocking is not self.redis:
            await self.blocking.aclose()

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """Redis' errors as ours, with what to do."""
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError, RedisClusterException, OSError) as error:
            raise RedisUnreachableError(self.url, str(error)) from error
        except NotReplicatedError as error:
            raise SubmitUnknownError(str(error)) from error
        except OutOfMemoryError as error:
            raise QueueFullError(str(error)) from error
        except ResponseError as error:
            if "OOM" in str(error):
                raise QueueFullError(str(error)) from error
            if any(word in str(error) for word in ("MISCONF", "READONLY", "NOREPLICAS")):
                raise QueueUnwritableError(str(error)) from error
            if "DB index" in str(error):
                raise RedisUnreachableError(self.url, str(error)) from error
            raise

    def parse(
        self, payload: str | bytes | Mapping[str, Any], default_type: str = "single-page"
    ) -> JobSpec:
        """A validated job. Raises InvalidJobError."""
        return parse_job(
            payload, default_type=default_type, job_types=self.job_types, presets=self.presets
        )

    def submission(
        self, spec: JobSpec, *, job_id: str | None = None, claim: str = "", bound: bool = False
    ) -> Submission:
        """The job as the scripts take it. `bound`: only workers of the pool `@<id>` take it."""
        config = self.config
        job_id = job_id or spec.job_id or new_job_id()
        limit, pace = config.host_concurrency, Pace.NORMAL
        if spec.turbo_mode:
            limit, pace = config.host_concurrency_turbo, Pace.TURBO
        if spec.own_site:
            limit, pace = config.host_concurrency_own_site, Pace.OWN
        ttl_s = config.result_ttl_s if spec.result_ttl is None else spec.result_ttl
        return Submission(
            job_id=job_id,
            spec=spec.to_json(),
            type=spec.type,
            pool=f"@{job_id}" if bound else spec.type,
            customer_id=spec.customer_id,
            priority=spec.priority,
            start_url=spec.url,
            max_pages=spec.max_pages or 1,
            max_duration_ms=spec.max_duration or config.max_job_duration_ms,
            attempts=spec.attempts,
            backoff_type=spec.backoff.type,
            backoff_ms=spec.backoff.delay,
            delay_ms=spec.delay,
            host_limit=min(limit, spec.host_concurrency or limit),
            host_delay_ms=max(config.host_delay_ms if pace is Pace.NORMAL else 0, spec.host_delay),
            pace=pace,
            result_ttl_ms=int(ttl_s * 1000),
            claim=claim,
        )

    async def add_job(self, job: Mapping[str, Any] | JobSpec, *, bound: bool = False) -> JobHandle:
        """Accept one job; the same jobId twice is the same job.

        Raises InvalidJobError, QueueFullError.
        """
        return (await self.add_jobs([job], bound=bound))[0]

    async def add_jobs(
        self, jobs: Sequence[Mapping[str, Any] | JobSpec], *, bound: bool = False
    ) -> list[JobHandle]:
        """Accept many jobs; nothing is accepted when one of them does not validate."""
        specs = [job if isinstance(job, JobSpec) else self.parse(job) for job in jobs]
        submissions = [self.submission(spec, bound=bound) for spec in specs]
        fresh = await self.submit(submissions)
        if bound:
            await self._refuse_foreign(submissions)
        return [
            JobHandle(submission.job_id, is_new, self)
            for submission, is_new in zip(submissions, fresh, strict=True)
        ]

    async def _refuse_foreign(self, submissions: Sequence[Submission]) -> None:
        """A foreground run must not wait for, or cancel, a job that others work on."""
        for submission in submissions:
            async with self.translated():
                key = self.transitions.keys.job(submission.job_id)
                pool = await self.redis.hget(key, "pool")
            if pool is not None and pool.decode() != submission.pool:
                raise JobStateError(
                    f"there is a job {submission.job_id!r} already, which the service works on: "
                    f"follow it with `watch {submission.job_id}`, or take another jobId"
                )

    async def submit(self, submissions: Sequence[Submission]) -> list[bool]:
        """Accept prepared jobs; True for each new one."""
        fresh: list[bool] = []
        async with self.translated():
            await self._refuse_when_full()
            for start in range(0, len(submissions), SUBMIT_BATCH):
                batch = submissions[start : start + SUBMIT_BATCH]
                fresh += await self._submit_batch(batch)
        return fresh

    async def _submit_batch(self, batch: Sequence[Submission]) -> list[bool]:
        try:
            return await self.transitions.submit_jobs(batch)
        except NotReplicatedError as error:
            ids = [submission.job_id for submission in batch]
            raise SubmitUnknownError(str(error), ids) from error

    async def _refuse_when_full(self) -> None:
        if time.monotonic() - self._memory_checked_s >= MEMORY_CHECK_S:
            info = await self.redis.info("memory")
            used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
            is_full = limit > 0 and used > SUBMIT_UP_TO * limit
            self._memory_detail = f"{used} of {limit} bytes used" if is_full else ""
            self._memory_checked_s = time.monotonic()
        if self._memory_detail:
            raise QueueFullError(self._memory_detail)

    async def job(self, job_id: str) -> JobView:
        """The job as it stands. Raises JobNotFoundError."""
        async with self.translated():
            view = await self.reader.job(job_id)
        if view is None:
            raise JobNotFoundError(job_id)
        return view

    async def pace(self, job_id: str) -> JobPace | None:
        """How fast a job is and what holds it up; None for one that has ended, or is not there."""
        text = await self._run(self.transitions.job_pace(job_id))
        return JobPace.from_json(text) if text else None

    async def result(self, job_id: str) -> JobResult:
        """How the job ended. Raises JobNotFoundError, JobStateError while it has not."""
        view = await self.job(job_id)
        async with self.translated():
            result = await self.reader.result(job_id)
        if result is None:
            raise JobStateError(
                f"job {job_id!r} is {view.state.value}: it has no result yet. "
                f"Follow it with `watch {job_id}`"
            )
        return result

    async def wait_for(self, job_id: str, timeout_s: float | None = None) -> JobResult:
        """Wait for a job's end. Raises JobNotFoundError, ResultTimeoutError."""
        ended = asyncio.Event()
        self._waiters.setdefault(job_id, set()).add(ended)
        try:
            if self._follower is None or self._follower.done():
                events = EventReader(self.blocking, self.name)
                async with self.translated():
                    await events.start()
                self._follower = asyncio.create_task(self._follow(events))
            async with asyncio.timeout(timeout_s):
                while not (await self.job(job_id)).state.is_final:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), 2.0)
                    ended.clear()
        except TimeoutError as error:
            raise ResultTimeoutError(job_id, timeout_s or 0) from error
        finally:
            self._waiters[job_id].discard(ended)
            if not self._waiters[job_id]:
                del self._waiters[job_id]
        return await self.result(job_id)

    async def _follow(self, events: EventReader) -> None:
        """Wake those who wait for a job when an event says that it ended."""
        while True:
            try:
                for event in await events.read():
                    if event.name in ("workerCompleted", "workerFailed", "jobCancelled", "gap"):
                        for waiter in self._waiters.get(event.job_id, ()):
                            waiter.set()
            except REDIS_ERRORS:
                await asyncio.sleep(0.5)

    async def cancel(self, job_id: str) -> JobState:
        """Cancel a job; its records stay. Returns the state before (a final one: no change)."""
        return await self._acted(job_id, await self._run(self.transitions.cancel_job(job_id)))

    async def pause(self, job_id: str) -> JobState:
        """Pause one job. Returns the state before."""
        return await self._acted(job_id, await self._run(self.transitions.pause_job(job_id)))

    async def resume(self, job_id: str) -> JobState:
        """Resume one job. Returns the state now."""
        return await self._acted(job_id, await self._run(self.transitions.resume_job(job_id)))

    async def retry(self, job_id: str, *, failed_pages_only: bool = False) -> JobState:
        """Run a finished job again: what is left and failed, or only what failed.

        Raises JobStateError when nothing is left to run, or the job is not finished.
        """
        reply = await self._run(self.transitions.retry_job(job_id, failed_pages_only))
        if reply == "nothing":
            raise JobStateError(
                f"job {job_id!r} has no page left to run: all are recorded, or maxPages is"
            )
        before = await self._acted(job_id, reply)
        if not before.is_final and before is not JobState.DELAYED:
            raise JobStateError(f"job {job_id!r} is {before.value}: only an ended job is retried")
        return before

    async def redeliver(self, job_id: str, delivery_id: str) -> None:
        """Deliver an event of the delivery log again. Raises JobStateError."""
        reply = await self._run(self.webhooks.redeliver(job_id, delivery_id))
        if reply == "unknown":
            raise JobStateError(
                f"the delivery log of job {job_id!r} has no delivery {delivery_id!r} (any more)"
            )
        if reply == "full":
            raise JobStateError(f"too many deliveries of job {job_id!r} wait already")

    async def remove(self, job_id: str) -> None:
        """Delete an ended job with its records. Raises JobStateError for one that has not ended."""
        before = await self._acted(job_id, await self._run(self.transitions.remove_job(job_id)))
        if not before.is_final:
            raise JobStateError(f"job {job_id!r} is {before.value}: cancel it first")

    async def pause_queue(self) -> bool:
        """Stop leasing for the whole queue; pages in flight are finished."""
        return await self._run(self.transitions.pause_queue(True, sorted(self.job_types)))

    async def resume_queue(self) -> bool:
        return await self._run(self.transitions.pause_queue(False, sorted(self.job_types)))

    async def _run(self, transition: Awaitable[T]) -> T:
        async with self.translated():
            return await transition

    async def _acted(self, job_id: str, reply: str) -> JobState:
        if not reply:
            raise JobNotFoundError(job_id)
        return JobState(reply)
