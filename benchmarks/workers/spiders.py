"""The spiders of the Scrapy contenders; which one and what to do comes from BENCH_* variables."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.http import HtmlResponse, Response

from benchmarks.workers.page_fields import DocumentedExtraction
from benchmarks.workers.stopwatch import Stopwatch

START_URL = os.environ["BENCH_START_URL"]
PAGES = int(os.environ["BENCH_PAGES"])
FOLLOWS = os.environ["BENCH_MODE"] == "full-crawl"
IS_FULL = os.environ["BENCH_PROFILE"] == "full"


def urls() -> list[str]:
    """The URLs to start from."""
    return [START_URL] if FOLLOWS else Path(os.environ["BENCH_URLS_FILE"]).read_text().split()


class MeasuredSpider(scrapy.Spider):
    """Counts its items; the work lasts from the opening to the closing of the spider."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stopwatch = Stopwatch()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> "MeasuredSpider":
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.start_counting, signals.spider_opened)
        crawler.signals.connect(spider.count, signals.item_scraped)
        crawler.signals.connect(spider.report, signals.spider_closed)
        return spider

    def start_counting(self) -> None:
        self.stopwatch.start()

    def count(self, item: Any) -> None:
        self.stopwatch.take(item)

    def report(self) -> None:
        self.stopwatch.write_report()


class DocumentedSpider(MeasuredSpider):
    """As the tutorial teaches: selectors, LinkExtractor, follow_all."""

    name = "documented"
    allowed_domains = [urlsplit(START_URL).hostname]
    start_urls = urls()
    extraction = DocumentedExtraction(IS_FULL)

    def parse(self, response: Response) -> Iterator[Any]:
        if not isinstance(response, HtmlResponse):
            return
        record, links = self.extraction.record(response)
        yield record
        if FOLLOWS:
            yield from response.follow_all(links, callback=self.parse)
