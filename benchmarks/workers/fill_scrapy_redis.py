"""Puts requests into scrapy-redis's scheduler, without fetching them, to weigh them in Redis."""

from scrapy import Request
from scrapy.utils.test import get_crawler
from scrapy_redis.scheduler import Scheduler

from benchmarks.workers.redis_spider import SETTINGS, RedisDocumentedSpider
from benchmarks.workers.spiders import urls


def main() -> None:
    crawler = get_crawler(RedisDocumentedSpider, SETTINGS)
    spider = RedisDocumentedSpider.from_crawler(crawler)  # type: ignore[no-untyped-call]
    scheduler = Scheduler.from_crawler(crawler)  # type: ignore[no-untyped-call]
    scheduler.open(spider)
    for url in urls():
        # The meta that Scrapy's own depth middleware gives to a followed link.
        if not scheduler.enqueue_request(Request(url, callback=spider.parse, meta={"depth": 3})):
            raise SystemExit(f"not enqueued: {url}")


if __name__ == "__main__":
    main()
