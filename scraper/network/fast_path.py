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
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from scrapy.signalmanager import SignalManager
from scrapy.utils.defer import aiter_errback, deferred_from_coro, iter_errback
from scrapy.utils.misc import warn_on_generator_with_return_value
from scrapy.utils.spider import iterate_spider_output
from twisted.internet.defer import Deferred, succeed
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
    """Calls a page's callback as soon as the page is there, and handles its output in order.

    Scrapy queues each response, starts a task to call the callback, and `CONCURRENT_ITEMS` more
    for its output. Here a callback that is no coroutine and yields nothing ends its page at once;
    the output of others is handled as Scrapy does with `CONCURRENT_ITEMS = 1`, in one task.
    """

    def enqueue_scrape(self, result: Response | Failure, request: Request) -> Deferred[None]:
        """A Deferred of the end of the page: its callback and all that this yielded."""
        if not isinstance(result, Response) or self.spidermw.middlewares:
            return super().enqueue_scrape(result, request)
        try:
            output = self._call(result, request)
        except Exception:
            self.handle_spider_error(_failure(), request, result)
            return succeed(None)
        if output is None or (isinstance(output, list | tuple) and not output):
            return succeed(None)
        assert self.slot is not None
        # Entered as being worked on: that is what the engine's idleness and back-out look at.
        self.slot.add_response_request(result, request)
        self.slot.next_response_request_deferred()
        return deferred_from_coro(self._work_off(output, result, request))

    def _call(self, response: Response, request: Request) -> Any:
        if response.request is None:
            response.request = request
        spider = self.crawler.spider
        if spider is None:
            raise RuntimeError("no open spider")
        callback = response.request.callback or spider._parse
        warn_on_generator_with_return_value(spider, callback)
        return callback(response, **response.request.cb_kwargs)

    async def _work_off(self, output: Any, response: Response, request: Request) -> None:
        try:
            if hasattr(output, "__await__"):
                output = await output
            outputs = iterate_spider_output(output)
        except Exception:
            self.handle_spider_error(_failure(), request, response)
        else:
            await self.handle_spider_output_async(outputs, request, response)
        finally:
            assert self.slot is not None
            self.slot.finish_response(response, request)
            self._check_if_closing()

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


def _failure() -> Failure:
    return Failure()  # type: ignore[no-untyped-call]


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
