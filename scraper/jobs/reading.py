"""Reads a queue: jobs, results, records, errors, rejected pushes. Changes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from scraper.jobs.keys import Keys
from scraper.jobs.listing import JobPage, list_jobs
from scraper.jobs.records import record_json, unpack_record
from scraper.jobs.states import JobState, PageState
from scraper.jobs.views import JobResult, JobView, QueueCounts

ERRORS_IN_RESULT = 100
RECORDS_PER_READ = 100
READ_BYTES = 1024 * 1024
# One call looks at about this many pages at the most, so that a rare state costs no more.
PAGES_PER_SCAN, PAGE_SCANS = 500, 20


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page in the frontier. `note`: its record's number, its code, or the URL it stands for."""

    state: PageState
    depth: int
    found_on: str | None
    attempts: int
    note: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """A page that was being handled when a worker died.

    `charges`: how many of these deaths it is charged with, being alone in its worker. `deaths` has
    the newest five, the oldest first: at, exit, workerId, alone and what else is known.
    """

    charges: int
    deaths: list[dict[str, Any]]


def _job_and_url(packed: bytes) -> tuple[str, str]:
    """Of a lease, as it is stored: `<url> <job> ...`."""
    url, job, *_ = packed.decode().split(" ", 2)
    return job, url


class Reader:
    """Reading side of one queue. Raises redis-py's errors; an unknown job is None."""

    def __init__(self, redis: Any, queue: str) -> None:
        self.redis = redis
        self.keys = Keys(queue)

    async def job(self, job_id: str) -> JobView | None:
        raw = await self.redis.hgetall(self.keys.job(job_id))
        return JobView.from_hash(job_id, raw) if raw.get(b"state") else None

    async def state(self, job_id: str) -> JobState | None:
        raw = await self.redis.hget(self.keys.job(job_id), "state")
        return JobState(raw.decode()) if raw else None

    async def jobs(
        self,
        *,
        states: Collection[JobState] = tuple(JobState),
        customer_id: str | None = None,
        job_type: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        """Some jobs, the newest first; see `list_jobs`. Raises InvalidCursorError."""
        return await list_jobs(
            self.redis, self.keys, states=states, customer_id=customer_id, job_type=job_type,
            limit=limit, cursor=cursor,
        )  # fmt: skip

    async def result(self, job_id: str) -> JobResult | None:
        """How a job ended; None while it has not, or when there is none."""
        view = await self.job(job_id)
        if view is None or not view.state.is_final:
            return None
        errors = await self.errors(job_id, limit=ERRORS_IN_RESULT)
        return JobResult.from_view(view, errors, await self.error_count(job_id))

    async def records(
        self, job_id: str, cursor: int = 0, count: int = RECORDS_PER_READ
    ) -> tuple[list[dict[str, Any]], int | None]:
        """`count` page records from `cursor` on, and the next cursor (None at the end so far)."""
        raw = await self.redis.lrange(self.keys.job(job_id, "records"), cursor, cursor + count - 1)
        after = cursor + len(raw)
        return [unpack_record(item) for item in raw], after if len(raw) == count else None

    async def record_lines(self, job_id: str, cursor: int = 0) -> AsyncGenerator[bytes, None]:
        """All records from `cursor` on as JSON texts, at constant memory, also of large ones."""
        count = 1
        while True:
            raw = await self.redis.lrange(
                self.keys.job(job_id, "records"), cursor, cursor + count - 1
            )
            for item in raw:
                yield record_json(item)
            if len(raw) < count:
                return
            cursor += len(raw)
            size_bytes = sum(map(len, raw)) // len(raw) + 1
            count = max(1, min(RECORDS_PER_READ, READ_BYTES // size_bytes, 4 * count))

    async def errors(self, job_id: str, cursor: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Failed pages: url, code, message, status, attempt, at (ISO 8601)."""
        raw = await self.redis.lrange(self.keys.job(job_id, "errors"), cursor, cursor + limit - 1)
        return [orjson.loads(item) for item in raw]

    async def error_count(self, job_id: str) -> int:
        return int(await self.redis.llen(self.keys.job(job_id, "errors")))

    async def filtered(self, job_id: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """Links left out by reason, and a sample of (reason, url)."""
        counts = await self.redis.hgetall(self.keys.job(job_id, "filtered"))
        sample = await self.redis.lrange(self.keys.job(job_id, "filtered_sample"), 0, -1)
        pairs = (item.decode().partition(" ") for item in sample)
        return (
            {reason.decode(): int(times) for reason, times in counts.items()},
            [(reason, url) for reason, _, url in pairs],
        )

    async def pages_of_shape(self, job_id: str, shape: str) -> int:
        """How many pages of a form of which the job takes a bounded number it knows."""
        return int(await self.redis.hget(self.keys.job(job_id, "shapes"), shape) or 0)

    async def page(self, job_id: str, url: str) -> StoredPage | None:
        """What the frontier knows of one canonical URL."""
        raw = await self.redis.hget(self.keys.job(job_id, "pages"), url)
        return (await self._stored_pages(job_id, [raw]))[0] if raw is not None else None

    async def suspect(self, job_id: str, url: str) -> Suspect | None:
        """What is held against a page; None when nothing is."""
        raw = await self.redis.hget(self.keys.job(job_id, "suspects"), url)
        if raw is None:
            return None
        stored = orjson.loads(raw)
        return Suspect(stored["charges"], stored["deaths"])

    async def pages(
        self, job_id: str, cursor: int = 0, *, states: Collection[PageState] = tuple(PageState)
    ) -> tuple[list[tuple[str, StoredPage]], int | None]:
        """Some pages that the frontier knows, in no order, by URL; and the next cursor, None at
        the end. A page whose state changes meanwhile may come twice, none that stays is missed."""
        key = self.keys.job(job_id, "pages")
        found: list[tuple[bytes, bytes]] = []
        next_cursor = cursor
        for _ in range(PAGE_SCANS):
            next_cursor, raw = await self.redis.hscan(key, next_cursor, count=PAGES_PER_SCAN)
            found += [
                (url, packed) for url, packed in raw.items()
                if PageState(packed[:1].decode()) in states
            ]  # fmt: skip
            if not next_cursor or len(found) >= PAGES_PER_SCAN:
                break
        pages = await self._stored_pages(job_id, [packed for _, packed in found])
        urls = [url.decode() for url, _ in found]
        return list(zip(urls, pages, strict=True)), next_cursor or None

    async def _stored_pages(self, job_id: str, packed: Sequence[bytes]) -> list[StoredPage]:
        fields = [item.decode().split(" ", 4) for item in packed]
        parents = sorted({int(parent) for _, _, parent, *_ in fields if int(parent) != -1})
        async with self.redis.pipeline(transaction=False) as pipe:
            for parent in parents:
                if parent >= 0:
                    pipe.lindex(self.keys.job(job_id, "recorded"), parent)
                else:
                    pipe.lindex(self.keys.job(job_id, "sitemaps"), -2 - parent)
            stored = await pipe.execute() if parents else []
        urls = {
            parent: url.decode() for parent, url in zip(parents, stored, strict=True) if url
        }  # fmt: skip
        return [
            StoredPage(
                PageState(state), int(depth), urls.get(int(parent)), int(attempts),
                note[0] if note else "",
            )
            for state, depth, parent, attempts, *note in fields
        ]  # fmt: skip

    async def rejected(
        self, limit: int = 100, cursor: int = 0
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Refused raw pushes, the newest first: payload, reason, door, at; and the next cursor,
        None at the end. `cursor` 0 begins; else it counts from the oldest one, so that pushes
        refused meanwhile shift nothing."""
        key = self.keys.key("rejected")
        length = int(await self.redis.llen(key))
        start = length - min(cursor, length) if cursor else 0
        raw = await self.redis.lrange(key, start, start + limit - 1)
        left = length - start - len(raw)
        return [orjson.loads(item) for item in raw], left if left > 0 and raw else None

    async def leases(self, instance: str) -> dict[str, tuple[str, str]]:
        """A worker's leases: token -> job and URL."""
        raw = await self.redis.hgetall(self.keys.key(f"leases:{instance}"))
        return {token.decode(): _job_and_url(packed) for token, packed in raw.items()}

    async def workers(self) -> dict[str, int]:
        """Worker instances with the epoch in ms at which their leases end."""
        raw = await self.redis.zrange(self.keys.key("workers"), 0, -1, withscores=True)
        return {member.decode(): int(score) for member, score in raw}

    async def jobs_in_hand(self, instances: Sequence[str]) -> dict[str, list[str]]:
        """By worker instance: the job of each page that it has leased."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for instance in instances:
                pipe.hvals(self.keys.key(f"leases:{instance}"))
            replies = await pipe.execute() if instances else []
        return {
            instance: [_job_and_url(lease)[0] for lease in leases]
            for instance, leases in zip(instances, replies, strict=True)
        }

    async def counts(self) -> QueueCounts:
        by_state = {
            state.value: int(await self.redis.zcard(self.keys.key(f"jobs:{state.value}")))
            for state in JobState
        }
        totals = await self.redis.hgetall(self.keys.key("totals"))
        return QueueCounts(
            by_state=by_state,
            workers=int(await self.redis.zcard(self.keys.key("workers"))),
            rejected=int(await self.redis.llen(self.keys.key("rejected"))),
            is_paused=await self.redis.hget(self.keys.key("meta"), "paused") == b"1",
            totals={name.decode(): int(value) for name, value in totals.items()},
        )
