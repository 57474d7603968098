"""One worker: its connection, its leases, its commits, the job of a one-shot run."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import secrets
import time
from typing import TYPE_CHECKING, Any

import structlog
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.spiderloader import get_spider_loader

from scraper.board import Board
from scraper.committing import Committer
from scraper.job_spider import JobSpider
from scraper.jobs import (
    EmbeddedUnavailableError,
    JobHandle,
    JobNotFoundError,
    JobQueue,
    JobsError,
    QueueFullError,
    QueueUnwritableError,
    RedisUnreachableError,
    open_queue,
)
from scraper.jobs.config import Config
from scraper.jobs.config_loading import load_config
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.doors import DoorWatcher
from scraper.jobs.ending import end_tasks
from scraper.jobs.leases import CommitOutcome, LeasedPage
from scraper.jobs.measures import Measures
from scraper.later_starts import LaterStarts
from scraper.leasing import LeaseKeeper, LeaseLimits
from scraper.lineage import PageWork, facts_of
from scraper.logs import flush_logs
from scraper.memory import MemoryReading
from scraper.network.downloader import PageDownloader
from scraper.network.robots import RobotsGate, RobotsPolicy
from scraper.outcomes import PageOutcomes
from scraper.page_flow import EngineMismatchError, FlowLimits, PageFlow

if TYPE_CHECKING:
    from scraper.frontier import Frontier

log = structlog.get_logger(__name__)

JOB_CHECK_S = 0.25
# No new pages while this many wait for their commit: replicas may be away for long.
MOST_PENDING = 256
# What Redis may do better soon: a worker that cannot start for it is started again.
_PASSING = (
    EmbeddedUnavailableError, QueueFullError, QueueUnwritableError, RedisUnreachableError,
)  # fmt: skip


def worker_instance() -> str:
    """`<supervisor>/<worker>#<incarnation>`: given by the supervisor, or made here."""
    given = os.environ.get("WORKER_ID")
    name = given or f"{platform.node() or 'host'}/scrapy-{os.getpid()}"
    return name if "#" in name else f"{name}#{secrets.token_hex(4)}"


class Worker:
    """What the scheduler does, without Scrapy's names for it.

    `frontier` is the queue in Redis; a benchmark sets another behind the same interface.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self.config: Config = load_config()
        self.instance = worker_instance()
        self.board = Board.of_worker()
        self.measures = Measures()
        self.job: JobHandle | None = None
        self.job_has_ended = False
        self.is_ready = False
        self.is_stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._spiders: dict[str, JobSpider] = {}
        self._outcomes = PageOutcomes(self.config)
        self._memory = MemoryReading()
        self.queue: JobQueue | None = None
        self.frontier: Frontier
        self.keeper: LeaseKeeper
        self.committer: Committer
        self.flow: PageFlow

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, submit the job of a one-shot run, begin to lease."""
        spider = self._crawler.spider
        assert isinstance(spider, JobSpider)
        self._spiders[spider.name] = spider
        try:
            pools = await self.connect(spider)
        except (JobsError, *REDIS_ERRORS) as error:
            # Raising here would leave the engine half open: it closes by itself without work.
            self.is_stopping = True
            spider.exit_code = 3 if isinstance(error, _PASSING) else 2
            log.error("the worker cannot start", error=str(error))
            self.board.say(str(error))
            if self.queue:
                await self.queue.shutdown()
            return
        self._build(pools)
        self.is_ready = True
        self._spawn(self.keeper.run(), "leasing")
        self._spawn(self.committer.run(), "committing")
        if self.queue:
            self._spawn_listeners(self.queue)

    async def connect(self, spider: JobSpider) -> list[str]:
        """Open the frontier; which pools to lease from."""
        self.queue = await open_queue(self.config)
        self.frontier = self.queue.transitions
        if not spider.job_arguments:
            return list(spider.pools)
        self.job = await self.queue.add_job(spider.job_arguments, bound=True)
        log.info("job accepted", job=self.job.id, is_new=self.job.was_new)
        return [f"@{self.job.id}"]

    def _spawn_listeners(self, queue: JobQueue) -> None:
        self._spawn(self._listen(queue), "listening")
        if self.job:
            self._spawn(self._watch_job(self.job), "job")
        elif "WORKER_ID" not in os.environ:
            # No supervisor that watches the doors for this worker.
            self._spawn(DoorWatcher(queue, queue.blocking).run(), "doors")

    def _build(self, pools: list[str]) -> None:
        limits = LeaseLimits(
            pages=self.config.page_concurrency,
            jobs=self.config.worker_concurrency,
            lease_ms=self.config.lease_ms,
        )
        self.keeper = LeaseKeeper(
            self.frontier, self.instance, pools, limits, self._schedule,
            self.board.redis_answered, self.measures,
        )  # fmt: skip
        self.committer = Committer(
            self.frontier, self.instance, self._memory_text, self._is_idle,
            lambda: self.keeper.is_short, self._on_committed, self.config.max_commit_bytes,
            self.keeper.forget_known,
        )  # fmt: skip
        self.keeper.is_choked = lambda: self.committer.pending >= MOST_PENDING
        self.flow = PageFlow(
            self._crawler, self.spider_of, self._on_through, self._on_late,
            FlowLimits(self.config.parse_limit_s, self.config.max_redirects), self.board,
            self.measures,
        )  # fmt: skip
        downloader = self._downloader()
        downloader.mark_of = self.flow.mark_of
        downloader.take_start = LaterStarts(self.frontier, self.instance, self.keeper).take
        if self.config.robots_obey:
            downloader.gate = self._gate(downloader)
        self._emits = self.job is not None or bool(self._crawler.settings.getdict("ITEM_PIPELINES"))
        for spider in self._spiders.values():
            spider.emits_records = self._emits

    def _downloader(self) -> PageDownloader:
        engine = self._crawler.engine
        downloader = engine.downloader if engine else None
        if not isinstance(downloader, PageDownloader):
            raise EngineMismatchError("PageDownloader, which asks robots.txt")
        return downloader

    def _gate(self, downloader: PageDownloader) -> RobotsGate:
        """No request passes the downloader without a look at its site's robots.txt."""
        config = self.config
        policy = RobotsPolicy(
            user_agent=config.sent_user_agent,
            ttl_s=config.robots_ttl_s,
            max_crawl_delay_s=config.crawl_delay_max_s,
            timeout_s=config.request_timeout_s,
        )
        return RobotsGate(
            policy,
            downloader.fetch_beside,
            self.instance,
            self.queue.transitions if self.queue else None,
        )

    def _memory_text(self) -> str:
        """This worker's memory, as commits carry it; `relief` while it is short of it."""
        text = self._memory()
        return f'{text[:-1]},"relief":true}}' if self.board.relief_level else text

    def _spawn(self, loop: Any, name: str) -> None:
        task = asyncio.create_task(loop, name=name)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A worker without one of its loops would idle for ever: it ends, and is started anew."""
        if not task.cancelled() and (error := task.exception()):
            log.critical("a part of the worker failed", part=task.get_name(), exc_info=error)
            if not self.is_stopping:
                self.board.say(f"{task.get_name()} failed: {type(error).__name__}: {error}")
                flush_logs()
                os._exit(1)

    async def stop(self) -> None:
        """All fetches are through: commit them, hand the rest back, sign off."""
        self.is_stopping = True
        if not self.is_ready:
            return
        self.keeper.is_draining = True
        await self.committer.flush()
        await end_tasks(self._tasks)
        try:
            await self.frontier.reclaim_worker([self.instance])
            if self.queue and self.job and not self.job_has_ended:
                self._set_exit_code(130)
                await self.queue.cancel(self.job.id)
        except (JobsError, *REDIS_ERRORS) as error:
            log.warning("leases end by themselves: Redis is out of reach", error=str(error))
        if self.queue:
            await self.queue.shutdown()

    async def hand_back(self) -> None:
        """Drain: lease no more, give back what was not begun."""
        self.keeper.is_draining = True
        self.keeper.poke()
        await self.keeper.give_back(self.keeper.drop_all())

    # -- what the engine asks -----------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        if self.is_stopping:
            return False
        return not (self.job_has_ended and not self.flow.in_flight and not self.committer.pending)

    def next_request(self) -> Request | None:
        """The next page to fetch; never waits."""
        if not self.is_ready:
            return None
        redirected = self.flow.next_redirected()
        if redirected is not None:
            return redirected
        lease = self.keeper.pop()
        return self._request_for(lease) if lease else None

    def _request_for(self, lease: LeasedPage) -> Request | None:
        run = self.keeper.runs[lease.job_id]
        try:
            return self.flow.request_for(lease, run, self.keeper.start_window(lease))
        except Exception as error:
            # A job type that does not load, an extra that cannot be read: this page alone fails.
            work = PageWork(lease, run)
            log.exception("a page cannot be requested", **facts_of(work))
            work.fail("internal", f"{type(error).__name__}: {error}")
            self._on_through(work)
            self._schedule()
            return None

    def spider_of(self, job_type: str) -> JobSpider:
        """The spider whose callbacks handle a job type; made at its first job."""
        spider = self._spiders.get(job_type)
        if spider is None:
            loader = get_spider_loader(self._crawler.settings)
            made = loader.load(job_type).from_crawler(self._crawler)
            assert isinstance(made, JobSpider)
            made.emits_records = self._emits
            spider = self._spiders[job_type] = made
        return spider

    # -- what happens to pages ----------------------------------------------------------------

    def _schedule(self) -> None:
        """Have the engine ask for requests now, not at its 5 s heartbeat."""
        engine = self._crawler.engine
        slot = engine._slot if engine else None
        if slot is not None:
            slot.nextcall.schedule()

    def _is_idle(self) -> bool:
        return not self.keeper.in_flight and not self.keeper.buffered

    def _on_through(self, work: PageWork) -> None:
        self.keeper.was_fetched(work.lease)
        if self.config.gc_after_job and work.lease.job_id not in self.keeper.held_jobs:
            gc.collect()
        try:
            commit = self._outcomes.commit_of(work)
        except Exception as error:
            # Such as an item that is no JSON: the page fails, with a text that is.
            log.exception("a record cannot be stored", **facts_of(work))
            work.fail("internal", f"the record cannot be stored: {error!a}")
            commit = self._outcomes.commit_of(work)
        # Its text is in the commit: what it was made of must not lie about until Redis answers.
        work.record = None
        self.measures.page.observe(time.monotonic() - work.started_s)
        self.measures.ended(commit.outcome.value)
        self.committer.add(work, commit)

    def _on_late(self, work: PageWork) -> None:
        self.keeper.release_late(work.lease)

    def _on_committed(self, work: PageWork, outcome: CommitOutcome) -> None:
        self.board.redis_answered()
        self.keeper.outstanding.discard(work.lease.token)
        if outcome is CommitOutcome.OK:
            work.run.remember(work)
        if self.keeper.is_short or self.keeper.was_choked:
            self.keeper.poke()

    # -- background ---------------------------------------------------------------------------

    async def _listen(self, queue: JobQueue) -> None:
        """Be woken when work comes while this worker is idle."""
        key = queue.transitions.keys.key(f"wake:{self.instance}")
        while True:
            try:
                if await queue.blocking.blpop([key], timeout=5):
                    self.keeper.poke()
            except REDIS_ERRORS:
                # Perhaps another server answers next, also where nobody else has noticed.
                self.keeper.forget_known()
                await asyncio.sleep(JOB_CHECK_S)

    async def _watch_job(self, job: JobHandle) -> None:
        """End the one-shot run when its job ends."""
        while not self.job_has_ended:
            try:
                result = await job.result()
            except JobNotFoundError as error:
                log.error("the job is gone", error=str(error))
                self._set_exit_code(1)
                self._end_one_shot()
                return
            except (JobsError, *REDIS_ERRORS):
                await asyncio.sleep(JOB_CHECK_S)
                continue
            self._set_exit_code(0 if result.status == "completed" else 1)
            log.info(
                "job ended", job=job.id, status=result.status, pages=result.pages_scraped,
                errors=result.error_count, reason=result.metadata["finishReason"],
            )  # fmt: skip
            self._end_one_shot()

    def _end_one_shot(self) -> None:
        self.job_has_ended = True
        self._schedule()

    def _set_exit_code(self, code: int) -> None:
        spider = self._crawler.spider
        assert isinstance(spider, JobSpider)
        spider.exit_code = code
