"""A Scrapy process with default settings: `python -m benchmarks.workers.run_scrapy SPIDER`."""

import sys
from typing import Any

from scrapy import Spider
from scrapy.crawler import CrawlerProcess

SETTINGS: dict[str, Any] = {"ROBOTSTXT_OBEY": False, "LOG_LEVEL": "INFO"}


def spider_and_settings(name: str) -> tuple[type[Spider], dict[str, Any]]:
    """The spider of that name, imported with no other, and what it needs set."""
    if name == "documented":
        from benchmarks.workers.spiders import DocumentedSpider

        return DocumentedSpider, SETTINGS
    if name == "own-extraction":
        from benchmarks.workers.own_extraction_spider import OwnExtractionSpider

        return OwnExtractionSpider, SETTINGS
    if name == "scrapy-redis":
        from benchmarks.workers import redis_spider

        return redis_spider.RedisDocumentedSpider, SETTINGS | redis_spider.SETTINGS
    raise SystemExit(f"no such spider: {name}")


def main() -> None:
    spider, settings = spider_and_settings(sys.argv[1])
    process = CrawlerProcess(settings)
    process.crawl(spider)
    process.start()


if __name__ == "__main__":
    main()
