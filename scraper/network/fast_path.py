"""Cheaper forms of some steps that Scrapy takes for every page, for any spider.

Switched on by settings alone: `ADDONS = {"scraper.network.fast_path.FastPath": 0}` and
`LOG_FORMATTER = "scraper.network.fast_path.PageLogFormatter"`. What Scrapy promises to
spiders, middlewares, pipelines and signal receivers stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, Self

from scrapy import Request, Spider, signals
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.core.engine import ExecutionEngine
from scrapy.core.scraper import Scraper
from scrapy.crawler import Crawler
from scrapy.exceptions import _InvalidOutput
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from scrapy.signalmanager import SignalManager
from scrapy.utils.defer import (
    aiter_errback,
    deferred_from_coro,
    ensure_awaitable,
    iter_errback,
)
from scrapy.utils.log import failure_to_exc_info, logformatter_adapter
from scrapy.utils.misc import warn_on_generator_with_return_value
from scrapy.utils.python import global_object_name
from scrapy.utils.spider import iterate_spider_output
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from scraper.network.receivers import has_receivers

logger = logging.getLogger("scrapy.core.engine")


class FastPath:
    """Add-on that gives one crawler the quick signals, engine and middlewares, and the sequential
    scraper."""

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
        # There are no settings for these classes; each has the state of the one it replaces.
        engine: Any = self._crawler.engine
        if engine is None:
            return
        if type(engine.scraper) is Scraper:
            engine.scraper.__class__ = SequentialScraper
            engine.scraper.__dict__["warns_of_returns"] = self._crawler.settings.getbool(
                "WARN_ON_GENERATOR_RETURN_VALUE"
            )
        if type(engine.downloader.middleware) is DownloaderMiddlewareManager:
            engine.downloader.middleware.__class__ = QuickMiddlewares
        if type(engine) is ExecutionEngine and not engine._downloader_fetch_needs_spider:
            engine.__class__ = QuickEngine


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


class QuickEngine(ExecutionEngine):
    """Takes a request from the scheduler to its end with one callback on its fetch.

    Scrapy's makes two generators, two contexts and eight callbacks for that.
    """

    def _start_scheduled_request(self) -> bool:
        assert self._slot is not None
        request = self._slot.scheduler.next_request()
        if request is None:
            self.signals.send_catch_log(signals.scheduler_empty)
            return False
        self._slot.add_request(request)
        self.downloader.fetch(request).addBoth(self._fetched, request)
        return True

    def _fetched(self, result: Response | Request | Failure, request: Request) -> None:
        assert self._slot is not None
        # It runs in a later turn of the loop: a page that ends at once is through by then.
        self._slot.nextcall.schedule()
        try:
            if isinstance(result, Response):
                self._tell_of(result, request)
        except Exception:
            result = _failure()
        try:
            ending = self._handle_downloader_output(result, request)
        except Exception:
            extra = {"spider": self.spider}
            logger.info("Error while handling downloader output", exc_info=True, extra=extra)
            ending = None
        if ending is None:
            self._slot.remove_request(request)
        else:
            ending.addBoth(self._ended, request)

    def _tell_of(self, response: Response, request: Request) -> None:
        if response.request is None:
            response.request = request
        assert self.spider is not None
        line = self.logformatter.crawled(response.request, response, self.spider)
        if line is not None:
            logger.log(*logformatter_adapter(line), extra={"spider": self.spider})
        self.signals.send_catch_log(
            signal=signals.response_received,
            response=response,
            request=response.request,
            spider=self.spider,
        )

    def _ended(self, result: object, request: Request) -> None:
        if isinstance(result, Failure):
            exc_info = failure_to_exc_info(result)
            extra = {"spider": self.spider}
            logger.info("Error while handling downloader output", exc_info=exc_info, extra=extra)
        assert self._slot is not None
        self._slot.remove_request(request)
        self._slot.nextcall.schedule()


class QuickMiddlewares(DownloaderMiddlewareManager):
    """Awaits a middleware's method only when it answers with something to wait for, or to check."""

    async def _process_request(
        self,
        request: Request,
        download_func: Callable[[Request], Coroutine[Any, Any, Response]],
    ) -> Response | Request:
        for method in self.methods["process_request"]:
            assert method is not None
            answer = self._handle_mw_method(method, request=request)
            if answer is None:
                continue
            answer = await ensure_awaitable(answer, _warn=global_object_name(method))
            if answer is None:
                continue
            return _checked(method, answer)
        return await download_func(request)

    async def _process_response(
        self, response: Response | Request, request: Request
    ) -> Response | Request:
        if isinstance(response, Request):
            return response
        for method in self.methods["process_response"]:
            assert method is not None
            answer = self._handle_mw_method(method, request=request, response=response)
            if answer is response:
                continue
            answer = await ensure_awaitable(answer, _warn=global_object_name(method))
            response = _checked(method, answer)
            if isinstance(response, Request):
                return response
        return response


def _checked(method: object, answer: object) -> Response | Request:
    if not isinstance(answer, Response | Request):
        name = global_object_name(method)
        raise _InvalidOutput(f"{name} must return Response or Request, got {type(answer)}")
    return answer


class SequentialScraper(Scraper):
    """Calls a page's callback as soon as the page is there, and handles its output in order.

    Scrapy queues each response, starts a task to call the callback, and `CONCURRENT_ITEMS` more
    for its output. Here a callback that is no coroutine and yields nothing ends its page at once;
    the output of others is handled as Scrapy does with `CONCURRENT_ITEMS = 1`, in one task.
    """

    # Of a generator with a return value; Scrapy looks its setting up for each page.
    warns_of_returns = True

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
        if self.warns_of_returns:
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
