"""Extends the worker's leases twice a second, and stops work on jobs that ended elsewhere."""

from __future__ import annotations

import asyncio
from typing import Self

import structlog
from scrapy import signals
from scrapy.crawler import Crawler

from scraper.jobs.connection import REDIS_ERRORS
from scraper.scheduler import worker_of
from scraper.worker import Worker

log = structlog.get_logger(__name__)

EVERY_S = 0.5


class Heartbeat:
    """While the worker has pages: extends their leases; a cancelled job's pages are dropped."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        extension = cls(crawler)
        crawler.signals.connect(extension._opened, signals.spider_opened)
        crawler.signals.connect(extension._closed, signals.spider_closed)
        return extension

    def _opened(self) -> None:
        worker = worker_of(self._crawler)
        if worker is not None:
            self._task = asyncio.create_task(self._run(worker))

    def _closed(self) -> None:
        if self._task:
            self._task.cancel()

    async def _run(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            held = worker.keeper.held_jobs
            if not held and not worker.committer.pending:
                continue
            try:
                await self.beat(worker, held)
            except REDIS_ERRORS as error:
                log.debug("heartbeat waits for Redis", error=str(error))

    async def beat(self, worker: Worker, held: list[str]) -> None:
        """One extension of all leases."""
        reply = await worker.frontier.extend_leases(worker.instance, worker.config.lease_ms, held)
        dropped = worker.keeper.drop_jobs(reply.gone)
        if not reply.is_known:
            log.warning("leases were lost: this worker was taken for dead", worker=worker.instance)
            dropped += worker.keeper.drop_all()
            worker.keeper.poke()
        # Leased anew between the two calls, some of them may be this worker's again.
        await worker.keeper.give_back(dropped)
