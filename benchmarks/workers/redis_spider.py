"""scrapy-redis with its own scheduler and the smallest changes that make it run on Scrapy 2.19."""

import os
import time
from typing import Any

from scrapy.exceptions import DontCloseSpider
from scrapy_redis.spiders import RedisSpider

from benchmarks.workers.spiders import FOLLOWS, PAGES, DocumentedSpider

SETTINGS = {
    "SCHEDULER": "scrapy_redis.scheduler.Scheduler",
    "DUPEFILTER_CLASS": "scrapy_redis.dupefilter.RFPDupeFilter",
    "REDIS_URL": os.environ["BENCH_REDIS_URL"],
    "SCHEDULER_PERSIST": True,
}

MODE = os.environ["BENCH_MODE"]


class RedisDocumentedSpider(RedisSpider, DocumentedSpider):
    """The documented spider on scrapy-redis: start URLs from its list, frontier in Redis."""

    name = "documented"
    redis_key = "documented:start_urls"
    start_urls: list[str] = []

    def spider_idle(self) -> None:
        """Close when all is done, in place of a wait for MAX_IDLE_TIME_BEFORE_CLOSE."""
        if self.stopwatch.pages >= PAGES:
            return
        if self.stopwatch.pages and not self.count_size(self.redis_key) and FOLLOWS:
            return
        self.schedule_next_requests()  # type: ignore[no-untyped-call]
        raise DontCloseSpider

    def count(self, item: Any) -> None:
        super().count(item)
        if MODE == "latency" and self.server is not None:
            self.server.rpush("results", f"{time.time()}")
