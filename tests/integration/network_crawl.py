"""A crawl for test_network_crawl.py, run in a process of its own: `plain` or `fast`, and a site.

It prints what the spider, its pipeline, its middlewares and the signals saw, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler, CrawlerProcess
from scrapy.exceptions import DropItem
from scrapy.http import Response
from twisted.python.failure import Failure

from scraper.network.failures import failure_code

MODE, SITE = sys.argv[1:]
HANDLER = "scraper.network.handler.PageDownloadHandler"
PLAIN: dict[str, Any] = {
    "LOG_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "RETRY_ENABLED": False,
    "EXTENSIONS_BASE": {},
    "SPIDER_MIDDLEWARES_BASE": {},
    "ITEM_PIPELINES": {"__main__.Pipeline": 1},
    "CONCURRENT_ITEMS": 1,
}
FAST: dict[str, Any] = {
    **PLAIN,
    "ADDONS": {"scraper.network.fast_path.FastPath": 0},
    "LOG_FORMATTER": "scraper.network.fast_path.PageLogFormatter",
    "DOWNLOADER": "scraper.network.downloader.PageDownloader",
    "DOWNLOAD_HANDLERS": {"http": HANDLER, "https": HANDLER},
    "ALLOW_PRIVATE_HOSTS": ["127.0.0.1", "localhost"],
    "DOWNLOADER_MIDDLEWARES_BASE": {},
    "DOWNLOADER_MIDDLEWARES": {
        "scraper.network.middlewares.JobCookiesMiddleware": 700,
    },
}
seen: dict[str, list[str]] = {}


def note(kind: str, what: object) -> None:
    seen.setdefault(kind, []).append(str(what))


class Pipeline:
    """Drops items named `drop`, fails on `break`, and lets a turn pass for `late`."""

    async def process_item(self, item: dict[str, str]) -> dict[str, str]:
        if item["name"] == "late":
            await asyncio.sleep(0)
        if item["name"] == "drop":
            raise DropItem("not wanted")
        if item["name"] == "break":
            raise ValueError("broken pipeline")
        return item


class TaggingSpiderMiddleware:
    """Marks the items that pass it."""

    async def process_spider_output(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        async for output in result:
            yield {**output, "tag": "seen"} if isinstance(output, dict) else output


class CaseSpider(Spider):
    """Every kind of callback and outcome that a spider can have."""

    name = "case"

    async def start(self) -> AsyncIterator[Any]:
        yield self.ask("/plain", self.parse_generator)
        yield self.ask("/plain?list", self.parse_list)
        yield self.ask("/plain?none", self.parse_none)
        yield self.ask("/plain?coroutine", self.parse_coroutine)
        yield self.ask("/plain?async", self.parse_async)
        yield self.ask("/plain?broken", self.parse_broken)
        yield self.ask("/plain?broken-late", self.parse_broken_late)
        yield self.ask("/missing", self.parse_url)
        yield self.ask("/hang-up", self.parse_url)
        yield self.ask("/set-cookie", self.parse_cookie, meta={"cookiejar": "job-a"})
        yield self.ask("/echo?own", self.parse_headers, cookies={"mine": "1"})

    def ask(self, path: str, callback: Any, **options: Any) -> Request:
        return Request(SITE + path, callback=callback, errback=self.failed, **options)

    def parse_generator(self, response: Response) -> Iterator[Any]:
        yield {"name": "first"}
        yield {"name": "late"}
        yield {"name": "drop"}
        yield {"name": "break"}
        yield self.ask("/plain?child", self.parse_url)
        yield {"name": "last"}

    def parse_list(self, response: Response) -> list[dict[str, str]]:
        return [{"name": "one"}, {"name": "two"}]

    def parse_none(self, response: Response) -> None:
        note("url", response.url)

    async def parse_coroutine(self, response: Response) -> list[dict[str, str]]:
        await asyncio.sleep(0)
        return [{"name": "from coroutine"}]

    async def parse_async(self, response: Response) -> AsyncIterator[Any]:
        yield {"name": "before"}
        await asyncio.sleep(0)
        yield {"name": "after"}
        yield self.ask("/plain?async-child", self.parse_url)
        raise ValueError("broken async generator")

    def parse_broken(self, response: Response) -> None:
        raise ValueError("broken callback")

    def parse_broken_late(self, response: Response) -> Iterator[Any]:
        yield {"name": "then broken"}
        raise ValueError("broken generator")

    def parse_url(self, response: Response) -> None:
        note("url", f"{response.status} {response.url}")

    def parse_headers(self, response: Response) -> None:
        note("headers", f"{response.url} {json.dumps(response.json(), sort_keys=True)}")  # type: ignore[attr-defined]

    def parse_cookie(self, response: Response) -> Iterator[Request]:
        for jar in ("job-a", "job-b"):
            yield self.ask(f"/echo?{jar}", self.parse_headers, meta={"cookiejar": jar})

    def failed(self, failure: Failure) -> Iterator[dict[str, str]]:
        error = failure.value or RuntimeError("a failure without an error")
        note("failure", f"{failure.request.url} {failure_code(error)}")  # type: ignore[attr-defined]
        yield {"name": "from errback"}


def listen(crawler: Crawler) -> None:
    """Note every signal that spiders and extensions rely on."""

    def scraped(item: dict[str, str]) -> None:
        note("scraped", item)

    def dropped(item: dict[str, str]) -> None:
        note("dropped", item)

    def item_error(item: dict[str, str]) -> None:
        note("item_error", item)

    def spider_error(failure: Failure) -> None:
        note("spider_error", failure.value)

    def received(response: Response) -> None:
        note("received", response.url)

    def downloaded(response: Response) -> None:
        note("downloaded", response.url)

    def left(request: Request) -> None:
        note("left", request.url)

    crawler.signals.connect(scraped, signals.item_scraped, weak=False)
    crawler.signals.connect(dropped, signals.item_dropped, weak=False)
    crawler.signals.connect(item_error, signals.item_error, weak=False)
    crawler.signals.connect(spider_error, signals.spider_error, weak=False)
    crawler.signals.connect(received, signals.response_received, weak=False)
    crawler.signals.connect(downloaded, signals.response_downloaded, weak=False)
    crawler.signals.connect(left, signals.request_left_downloader, weak=False)


def main() -> None:
    settings = dict(PLAIN if MODE.startswith("plain") else FAST)
    if MODE.endswith("-middleware"):
        settings["SPIDER_MIDDLEWARES"] = {"__main__.TaggingSpiderMiddleware": 1}
    process = CrawlerProcess(settings)
    crawler = process.create_crawler(CaseSpider)
    listen(crawler)
    process.crawl(crawler)
    process.start()
    scraper = type(crawler.engine.scraper).__name__ if crawler.engine else ""
    json.dump({"seen": seen, "scraper": scraper}, sys.stdout)


if __name__ == "__main__":
    main()
