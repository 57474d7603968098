"""A Scrapy process with default settings: `python -m benchmarks.workers.run_scrapy SPIDER`."""

import sys
from typing import Any

from scrapy.crawler import CrawlerProcess

SETTINGS: dict[str, Any] = {"ROBOTSTXT_OBEY": False, "LOG_LEVEL": "INFO"}


def main(name: str) -> None:
    settings = dict(SETTINGS)
    if name == "documented":
        from benchmarks.workers.spiders import DocumentedSpider as spider
    elif name == "own-extraction":
        from benchmarks.workers.own_extraction_spider import OwnExtractionSpider as spider
    elif name == "scrapy-redis":
        from benchmarks.workers.redis_spider import SETTINGS as redis_settings
        from benchmarks.workers.redis_spider import RedisDocumentedSpider as spider

        settings |= redis_settings
    else:
        raise SystemExit(f"no such spider: {name}")
    process = CrawlerProcess(settings)
    process.crawl(spider)
    process.start()


if __name__ == "__main__":
    main(sys.argv[1])
