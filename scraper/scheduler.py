"""The scheduler that Scrapy's engine talks to: a face of the leased frontier in Redis."""

from __future__ import annotations

from typing import Self

import scrapy_redis.scheduler
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.utils.defer import deferred_from_coro
from twisted.internet.defer import Deferred

from scraper.worker import Worker


def worker_of(crawler: Crawler) -> Worker | None:
    """The worker behind a crawler's scheduler, once it has started."""
    scheduler: object = crawler.engine.scheduler if crawler.engine else None
    if isinstance(scheduler, LeasedScheduler) and scheduler.worker.is_ready:
        return scheduler.worker
    return None


class LeasedScheduler(scrapy_redis.scheduler.Scheduler):
    """Takes the place of scrapy-redis's scheduler; each method that the engine calls is ours.

    None of them waits or raises: pages are leased ahead in the background, and what callbacks
    yield is carried by the commit of their page. So a process that dies loses no page: its leases
    go back to the frontier.
    """

    worker_class: type[Worker] = Worker

    def __init__(self, crawler: Crawler) -> None:
        self.worker = self.worker_class(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def open(self, spider: Spider) -> Deferred[None]:
        """Reach Redis and start leasing."""
        return deferred_from_coro(self.worker.start())

    def close(self, reason: str) -> Deferred[None]:
        """Commit what is through, hand the rest back."""
        return deferred_from_coro(self.worker.stop())

    def next_request(self) -> Request | None:
        return self.worker.next_request()

    def enqueue_request(self, request: Request) -> bool:
        return self.worker.flow.add_child(request)

    def has_pending_requests(self) -> bool:
        """True while there may be work: a worker goes on, a one-shot ends with its job."""
        return self.worker.has_work

    def __len__(self) -> int:
        return self.worker.keeper.buffered

    def flush(self) -> None:
        """Nothing is flushed: the frontier is shared, and belongs to the jobs."""
