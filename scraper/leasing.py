"""Leases pages ahead in the background and hands them out, one job slot at a time."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson
import structlog
from redis.exceptions import ResponseError

from scraper.frontier import Frontier
from scraper.job_run import JobRun
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.errors import JobsError
from scraper.jobs.leases import (
    LeasedJob,
    LeasedPage,
    LeaseReply,
    LeaseRequest,
    PageCommit,
    PageOutcome,
)
from scraper.jobs.measures import Measures
from scraper.redis_clock import RedisClock
from scraper.scope import ScopeError

log = structlog.get_logger(__name__)

IDLE_POLL_S = 0.5
# Pages leased ahead, in multiples of those in flight, and how many are left when more are asked
# for: a call costs as much as several pages.
AHEAD = 3
REFILL_AT = 1
# While call after call is granted in full, the frontier is rich: then four times as many a call.
AHEAD_OF_RICH = 9
RICH_STREAK = 4
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
# A page of a host with a delay is handed out this long before its start: so that it is connected
# and waits for the moment, and not the moment for it.
LEAD_S = 0.05
# How late a fetch of a host with a delay may begin, as a share of the delay and in s at least:
# after that the next one would come too close. A worker that is late again and again is given more,
# never so much that two starts could be closer than 3/4 of the delay.
LATE_SHARE = 0.1
LATE_LEAST_S = 0.01
LATE_MOST_SHARE = 0.24
LATE_STREAK = 20
# Jobs out of hand whose links are remembered: each may take some 100 MB.
RUNS_SPARE = 4


@dataclass(frozen=True, slots=True)
class LeaseLimits:
    """`pages` in flight at once, `jobs` fetched at once (`concurrency`), the lease in ms."""

    pages: int
    jobs: int
    lease_ms: int


@dataclass(slots=True)
class _Waiting:
    """Leased pages of one job, with the loop time from which each may be fetched."""

    pages: deque[tuple[float, LeasedPage]] = field(default_factory=deque)


class LeaseKeeper:
    """The worker's small store of leased pages. `pop` never waits; `run` fills it.

    Pages are handed out in the order in which they were leased, as long as no more than
    `limits.jobs` jobs are fetched at once. When another job's page is kept waiting by that, as
    many of the open jobs get no new page as jobs wait: so a turn given by the queue is kept.

    Suspects (pages that a worker died of, perhaps) are handed out first, one at a time; `Solitude`
    has each handled alone, so that a second death has only one cause.
    """

    def __init__(
        self,
        frontier: Frontier,
        worker: str,
        pools: Sequence[str],
        limits: LeaseLimits,
        on_pages: Callable[[], None],
        on_answer: Callable[[], None],
        measures: Measures,
    ) -> None:
        self.frontier = frontier
        self.worker = worker
        self.pools = pools
        self.limits = limits
        self.runs: dict[str, JobRun] = {}
        self.in_flight: Counter[str] = Counter()
        self.is_draining = False
        self.is_short = False
        self._full_streak = 0
        self.next_due_s: float | None = None
        self._on_pages = on_pages
        self._on_answer = on_answer
        self._measures = measures
        self._waiting: dict[str, _Waiting] = {}
        self._suspects: deque[tuple[float, LeasedPage]] = deque()
        self._has_suspect_out = False
        self._buffered = 0
        self._poke = asyncio.Event()
        # Tokens of the pages that this worker answers for, until their commit was answered.
        self.outstanding: set[str] = set()
        self.is_choked: Callable[[], bool] = lambda: False
        self.was_choked = False
        self._must_reconcile = False
        self._clock = RedisClock()
        self._sent_s = 0.0
        self._late: list[str] = []
        self._late_streak = 0

    @property
    def buffered(self) -> int:
        return self._buffered

    @property
    def held_jobs(self) -> list[str]:
        """Jobs of which this worker has pages, in flight or waiting."""
        suspected = (page.job_id for _, page in self._suspects)
        return list(dict.fromkeys([*self._waiting, *suspected, *self.in_flight]))

    def poke(self) -> None:
        """Something changed: ask for pages now."""
        self._poke.set()

    # -- handing out ------------------------------------------------------------------------

    def pop(self) -> LeasedPage | None:
        """The next page to fetch, None when there is none that may start now."""
        if not self._buffered:
            return None
        now = asyncio.get_running_loop().time()
        suspect = self._due_suspect(now)
        if suspect is not None and self._may_be_out(suspect.job_id):
            return self._take_suspect()
        allowed = self._open_jobs_allowed(suspect)
        for job_id, waiting in self._waiting.items():
            if self.in_flight[job_id]:
                allowed -= 1
                if allowed < 0:
                    continue
            elif len(self.in_flight) >= self.limits.jobs:
                continue
            due_s, page = waiting.pages[0]
            if due_s > now:
                self._wake_at(due_s)
                continue
            self._take(job_id, waiting)
            return page
        return None

    def _due_suspect(self, now: float) -> LeasedPage | None:
        """The suspect that is to be handed out next, None when none is to be now."""
        if not self._suspects or self._has_suspect_out:
            return None
        due_s, page = self._suspects[0]
        if due_s <= now:
            return page
        self._wake_at(due_s)
        return None

    def _may_be_out(self, job_id: str) -> bool:
        """Whether a page of this job may be in flight: few jobs are fetched at once."""
        return bool(self.in_flight[job_id]) or len(self.in_flight) < self.limits.jobs

    def _open_jobs_allowed(self, suspect: LeasedPage | None) -> int:
        """How many of the jobs in flight may go on: one less for each that is kept waiting, and for
        that of a suspect which is."""
        in_flight = len(self.in_flight)
        if in_flight < self.limits.jobs:
            return in_flight
        kept_waiting = int(suspect is not None)
        for job_id in self._waiting:
            if self.in_flight.get(job_id):
                break
            kept_waiting += 1
        return max(0, in_flight - kept_waiting)

    def _take(self, job_id: str, waiting: _Waiting) -> None:
        waiting.pages.popleft()
        if not waiting.pages:
            del self._waiting[job_id]
        self._buffered -= 1
        self.in_flight[job_id] += 1
        if self._buffered <= REFILL_AT * self.limits.pages and not self.is_short:
            self._poke.set()

    def _take_suspect(self) -> LeasedPage:
        _, page = self._suspects.popleft()
        self._buffered -= 1
        self.in_flight[page.job_id] += 1
        self._has_suspect_out = True
        return page

    def _wake_at(self, due_s: float) -> None:
        if self.next_due_s is None or due_s < self.next_due_s:
            self.next_due_s = due_s
            asyncio.get_running_loop().call_at(due_s, self._due)

    def _due(self) -> None:
        self.next_due_s = None
        self._on_pages()

    def start_window(self, page: LeasedPage) -> tuple[float, float] | None:
        """Between which loop times a page's fetch must begin; None when that does not matter."""
        if not page.host_delay_ms:
            return None
        start_at_s = self.loop_time(page.start_at_ms)
        return start_at_s, start_at_s + self.lateness_s(page.host_delay_ms)

    def loop_time(self, redis_ms: int) -> float:
        """When, by the loop's clock, that of Redis shows `redis_ms`. A lease comes first."""
        return self._clock.loop_time(redis_ms)

    def lateness_s(self, delay_ms: int) -> float:
        """How much later than its start a fetch may begin at a host with this delay."""
        delay_s = delay_ms / 1000
        if self._late_streak > LATE_STREAK:
            return max(LATE_MOST_SHARE * delay_s, LATE_LEAST_S)
        return max(LATE_SHARE * delay_s, min(LATE_LEAST_S, LATE_MOST_SHARE * delay_s))

    def release_late(self, page: LeasedPage) -> None:
        """A popped page came too late for its host's delay: it goes back, uncharged."""
        self._late_streak += 1
        self._late.append(page.token)
        self._done(page)
        self._poke.set()

    def was_fetched(self, page: LeasedPage) -> None:
        """A popped page is through (its commit may still be on its way): of a host with a delay, it
        began in time."""
        if page.host_delay_ms:
            self._late_streak = 0
        self._done(page)

    def _done(self, page: LeasedPage) -> None:
        job_id, was_last = page.job_id, False
        self.in_flight[job_id] -= 1
        if self.in_flight[job_id] <= 0:
            del self.in_flight[job_id]
            was_last = True
        if page.is_suspect:
            self._has_suspect_out = False
        if self._buffered and (was_last or page.is_suspect):
            self._on_pages()

    def drop_jobs(self, job_ids: Sequence[str]) -> list[str]:
        """Forget the waiting pages of jobs that are no longer worked on; their tokens."""
        tokens = [page.token for _, page in self._suspects if page.job_id in job_ids]
        self._suspects = deque(it for it in self._suspects if it[1].job_id not in job_ids)
        self._buffered -= len(tokens)
        for job_id in job_ids:
            waiting = self._waiting.pop(job_id, None)
            if waiting:
                self._buffered -= len(waiting.pages)
                tokens += [page.token for _, page in waiting.pages]
        return tokens

    def drop_all(self) -> list[str]:
        """Forget all waiting pages; their tokens."""
        tokens = [page.token for w in self._waiting.values() for _, page in w.pages]
        tokens += [page.token for _, page in self._suspects]
        self._waiting.clear()
        self._suspects.clear()
        self._buffered = 0
        return tokens

    async def give_back(self, tokens: Sequence[str]) -> None:
        """Release dropped pages: some may be leased still. Void tokens do no harm."""
        self.outstanding.difference_update(tokens)
        if tokens:
            await self.frontier.release_pages(self.worker, tokens)

    # -- leasing ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Lease pages whenever there is room, until cancelled or draining."""
        failures = 0
        request: LeaseRequest | None = None
        while not self.is_draining:
            request = request or self._request()
            if request is None and not self._late:
                await self._wait(None)
                continue
            try:
                await self._give_back_late()
                if request is None:
                    continue
                reply = await self._lease(request)
            except REDIS_ERRORS as error:
                if isinstance(error, ResponseError):
                    # A full server refuses: that is an answer, this worker is not stuck.
                    self._on_answer()
                if failures == 0:
                    log.warning("leasing waits for Redis", error=str(error))
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
                continue
            self._on_answer()
            if failures:
                log.info("leasing goes on", failures=failures)
                self.forget_known()
            self.outstanding.update(page.token for page in reply.pages)
            failures, wanted, request = 0, request.pages, None
            if self._must_reconcile:
                await self._reconcile()
            await self._admit(reply)
            self.is_short = len(reply.pages) < wanted
            self._full_streak = 0 if self.is_short else self._full_streak + 1
            if self.is_short:
                await self._wait(reply)

    async def _give_back_late(self) -> None:
        late = list(self._late)
        await self.give_back(late)
        del self._late[: len(late)]

    async def _lease(self, request: LeaseRequest) -> LeaseReply:
        self._sent_s = asyncio.get_running_loop().time()
        return await self.frontier.lease_pages(self.worker, request, self.limits.lease_ms)

    def _request(self) -> LeaseRequest | None:
        self.was_choked = self.is_choked()
        if self.was_choked:
            return None
        ahead = AHEAD_OF_RICH if self._full_streak >= RICH_STREAK else AHEAD
        wanted = ahead * self.limits.pages - self._buffered
        if wanted < max(1, (ahead - REFILL_AT) * self.limits.pages):
            return None
        held = self.held_jobs
        long = [job for job in held if not self.runs[job].is_single_page]
        short = len(held) - len(long)
        jobs = self.limits.jobs
        slots = max(0, jobs - len(held))
        return LeaseRequest(
            request_id=secrets.token_hex(8),
            pages=wanted,
            slots=slots,
            pools=self.pools,
            held=long,
            ahead=max(0, 2 * max(0, jobs - len(long)) - short - slots),
            spare=max(0, 2 * jobs - len(held) - slots),
        )

    async def _admit(self, reply: LeaseReply) -> None:
        self._clock.measure(reply.now_ms, self._sent_s, asyncio.get_running_loop().time())
        unreadable = [job for job in reply.jobs if not self._know(job)]
        dropped = self.drop_jobs(reply.gone)
        if self.is_draining:
            dropped += [page.token for page in reply.pages]
        if dropped or unreadable:
            await self._refuse(reply, dropped, {job.job_id for job in unreadable})
        if self.is_draining:
            return
        for page in reply.pages:
            if page.job_id in self.runs:
                self._measures.wait.observe(max(0, page.start_at_ms - reply.now_ms) / 1000)
                due_s = self._clock.loop_time(page.start_at_ms)
                if page.host_delay_ms:
                    due_s -= LEAD_S
                self._queue_of(page).append((due_s, page))
                self._buffered += 1
        self._forget_runs()
        if reply.pages:
            self._on_pages()

    def _queue_of(self, page: LeasedPage) -> deque[tuple[float, LeasedPage]]:
        if page.is_suspect:
            return self._suspects
        return self._waiting.setdefault(page.job_id, _Waiting()).pages

    def _know(self, job: LeasedJob) -> bool:
        """Take what changed of a job; False when this version cannot read it."""
        run = self.runs.get(job.job_id)
        if run is not None and run.seq == job.seq:
            run.update(job)
            return True
        # New here, or another job under an id that was used before.
        self.runs.pop(job.job_id, None)
        try:
            self.runs[job.job_id] = JobRun(job)
        except (JobsError, ScopeError) as error:
            log.error("a job cannot be read", job=job.job_id, error=str(error))
            return False
        return True

    async def _refuse(self, reply: LeaseReply, dropped: list[str], unreadable: set[str]) -> None:
        """Release dropped pages, and fail those of jobs that cannot be read."""
        failed = [
            PageCommit(
                page.token,
                PageOutcome.FAILED,
                page.url,
                orjson.dumps({"url": page.url, "code": "unreadable_job", "attempt": page.attempt}),
                code="unreadable_job",
            )
            for page in reply.pages
            if page.job_id in unreadable and not self.is_draining
        ]
        try:
            await self.give_back(dropped)
            if failed:
                await self.frontier.commit_pages(self.worker, "{}", failed)
                self.outstanding.difference_update(page.token for page in failed)
        except REDIS_ERRORS as error:
            log.warning(
                "pages could not be given back: they are when this worker ends",
                pages=len(dropped) + len(failed),
                error=str(error),
            )

    def _forget_runs(self) -> None:
        """Keep what is known of the jobs in hand and of a few more, the newest."""
        spare = len(self.runs) - len(self.held_jobs) - RUNS_SPARE
        if spare <= 0:
            return
        held = set(self.held_jobs)
        for job_id in [job for job in self.runs if job not in held][:spare]:
            del self.runs[job_id]

    def forget_known(self) -> None:
        """The server may have lost what it answered: links are sent again."""
        for run in self.runs.values():
            run.forget_known()
        self._must_reconcile = True

    async def _reconcile(self) -> None:
        """Give back what only the server thinks that this worker has: it forgot some commits, so
        these pages would be leased for as long as this worker lives. Nothing is granted meanwhile.
        """
        try:
            released = await self.frontier.keep_leases(self.worker, sorted(self.outstanding))
        except REDIS_ERRORS as error:
            log.warning("leases are compared later", error=str(error))
            return
        self._must_reconcile = False
        if released:
            log.warning("Redis had forgotten commits: pages are fetched again", pages=released)

    async def _wait(self, reply: LeaseReply | None) -> None:
        """Until there is a reason to ask again: a poke, delayed work that is due, the poll."""
        delay_s: float | None = None
        if reply is not None:
            delay_s = IDLE_POLL_S
            if reply.next_due_ms:
                due_s = (reply.next_due_ms - reply.now_ms) / 1000
                delay_s = min(delay_s, max(0.005, due_s))
        try:
            async with asyncio.timeout(delay_s):
                await self._poke.wait()
        except TimeoutError:
            pass
        self._poke.clear()
