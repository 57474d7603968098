"""Cheaper forms of some steps that Scrapy takes for every page, for any spider.

Switched on by settings alone: `ADDONS = {"scraper.network.fast_path.FastPath": 0}` and
`LOG_FORMATTER = "scraper.network.fast_path.PageLogFormatter"`. What Scrapy promises to
spiders, middlewares, pipelines and signal receivers stays as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Self

from scrapy import Request, Spider, signals
from scrapy.core.scraper import Scraper
from scrapy.core.spidermw import SpiderMiddlewareManager
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from scrapy.signalmanager import SignalManager
from scrapy.utils.defer import aiter_errback, iter_errback
from scrapy.utils.misc import warn_on_generator_with_return_value
from scrapy.utils.spider import iterate_spider_output
from twisted.python.failure import Failure

from scraper.network.receivers import has_receivers


class FastPath:
    """Add-on that gives one crawler the quick signals and the sequential scraper."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        # Early enough that every component connects to and keeps this one. Receivers
        # that are connected already stay so: they belong to the sender, the crawler.
        crawler.signals = QuickSignals(crawler)
        crawler.signals.connect(self._quicken_scraper, signals.spider_opened)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def _quicken_scraper(self) -> None:
        # The engine has no setting for the class; the two have the same state.
        scraper = self._crawler.engine.scraper if self._crawler.engine else None
        if scraper is None:
            return
        if type(scraper) is Scraper:
            scraper.__class__ = SequentialScraper
        if type(scraper.spidermw) is SpiderMiddlewareManager:
            scraper.spidermw.__class__ = OptionalSpiderMiddlewares


class QuickSignals(SignalManager):
    """Sends a signal only if somebody receives it."""

    def send_catch_log(self, signal: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """What the receivers returned, as (receiver, result) pairs."""
        if not has_receivers(kwargs.get("sender", self.sender), signal):
            return []
        return super().send_catch_log(signal, **kwargs)

    async def send_catch_log_async(self, signal: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """What the receivers returned, once all of them are through."""
        if not has_receivers(kwargs.get("sender", self.sender), signal):
            return []
        return await super().send_catch_log_async(signal, **kwargs)


class SequentialScraper(Scraper):
    """Handles a callback's output in order, in the page's own task.

    Scrapy starts `CONCURRENT_ITEMS` tasks and a queue for every page; this is what they do
    with `CONCURRENT_ITEMS = 1`.
    """

    async def call_spider_async(
        self, result: Response | Failure, request: Request
    ) -> Iterable[Any] | AsyncIterator[Any]:
        """The output of the page's callback, with spider middlewares or without."""
        if not isinstance(result, Response):
            return await super().call_spider_async(result, request)
        # Without the two turns of the event loop that Scrapy gives to pending I/O: a page
        # has taken several already since its bytes came in.
        if result.request is None:
            result.request = request
        spider = self.crawler.spider
        if spider is None:
            raise RuntimeError("no open spider")
        callback = result.request.callback or spider._parse
        warn_on_generator_with_return_value(spider, callback)
        output = callback(result, **result.request.cb_kwargs)
        if hasattr(output, "__await__"):
            output = await output
        return iterate_spider_output(output)

    async def handle_spider_output_async(
        self,
        result: Iterable[Any] | AsyncIterator[Any],
        request: Request,
        response: Response | Failure,
    ) -> None:
        """Schedule the requests and process the items, one after the other."""
        if isinstance(result, AsyncIterator):
            outputs = aiter_errback(result, self.handle_spider_error, request, response)
            async for output in outputs:
                await self._process_spidermw_output_async(output, response)
        else:
            for output in iter_errback(result, self.handle_spider_error, request, response):
                await self._process_spidermw_output_async(output, response)


class OptionalSpiderMiddlewares(SpiderMiddlewareManager):
    """Calls the callback as it is where there is no spider middleware.

    Scrapy passes each output through three nested generators even then.
    """

    async def scrape_response_async(
        self, scrape_func: Any, response: Response, request: Request
    ) -> Any:
        """The callback's output, as the spider middlewares leave it."""
        if self.middlewares:
            return await super().scrape_response_async(scrape_func, response, request)
        return await scrape_func(response, request)


class PageLogFormatter(LogFormatter):
    """No log line a page or an item, unless `LOG_LEVEL` is DEBUG.

    Scrapy's loggers let DEBUG records through whatever the level is: two would be built
    and thrown away for each page.
    """

    def __init__(self, *, is_verbose: bool = False) -> None:
        self._is_verbose = is_verbose

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(is_verbose=str(crawler.settings.get("LOG_LEVEL")).upper() == "DEBUG")

    def crawled(  # type: ignore[override]
        self, request: Request, response: Response, spider: Spider
    ) -> LogFormatterResult | None:
        """The line for a fetched page, or None."""
        return super().crawled(request, response, spider) if self._is_verbose else None

    def scraped(  # type: ignore[override]
        self, item: Any, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        """The line for an item, or None."""
        return super().scraped(item, response, spider) if self._is_verbose else None
