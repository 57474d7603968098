"""A Scrapy downloader without slots: who may be fetched when is decided by the frontier.

Scrapy's own queues each request in a slot of its host, waits there for delay and
concurrency, and spends two more tasks on it. Here a request that the scheduler hands out
is fetched at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.core.downloader import Downloader
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from scraper.network.handler import PageDownloadHandler
from scraper.network.receivers import has_receivers
from scraper.network.requests import TAKES_START
from scraper.network.robots import RobotsGate
from scraper.network.steps import Mark, MarkedSteps, current_mark


class PageDownloader(Downloader):
    """Fetches at most `CONCURRENT_REQUESTS` at once; delays and limits a host do not apply.

    `DOWNLOAD_DELAY`, `CONCURRENT_REQUESTS_PER_DOMAIN`, `DOWNLOAD_SLOTS` and AutoThrottle
    have no effect. `gate`, once set, judges every request, redirects' targets too. `take_start`,
    once set, is awaited before those whose meta has TAKES_START. `mark_of`, once set, gives what
    shows a request's page while it is worked on, None for no page.
    """

    gate: RobotsGate | None = None
    take_start: Callable[[Request], Awaitable[None]] | None = None
    mark_of: Callable[[Request], Mark | None] | None = None

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()

    def fetch(self, request: Request, spider: Spider | None = None) -> Deferred[Response | Request]:
        """A Deferred of what the downloader middlewares make of the response."""
        self.active.add(request)
        fetched: Deferred[Response | Request] = Deferred()
        steps: Coroutine[Any, Any, None]
        mark = self.mark_of(request) if self.mark_of is not None else None
        steps = self._fetch(request, fetched, mark)
        if mark is not None:
            steps = MarkedSteps(steps, mark)
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fetched

    async def _fetch(
        self, request: Request, fetched: Deferred[Response | Request], mark: Mark | None
    ) -> None:
        current_mark.set(mark)
        try:
            result: Response | Request | Failure
            if self.take_start is not None and request.meta.pop(TAKES_START, False):
                await self.take_start(request)
            if self.gate is not None and (waiting := self.gate.admit(request)) is not None:
                await waiting
            result = await self.middleware.download_async(self._transfer, request)
        except Exception:
            result = Failure()  # type: ignore[no-untyped-call]
        finally:
            self.active.remove(request)
        # Not by Deferred.fromFuture, which takes another turn of the event loop.
        fetched.callback(result)

    async def fetch_beside(self, request: Request) -> Response:
        """What a page needs besides itself, its robots.txt: by the handlers alone."""
        if self.take_start is not None and request.meta.pop(TAKES_START, False):
            await self.take_start(request)
        return await self.handlers.download_request_async(request)

    async def _transfer(self, request: Request) -> Response:
        self._tell(signals.request_reached_downloader, request=request)
        try:
            response = await self._exchange(request)
            self._tell(signals.response_downloaded, response=response, request=request)
            return response
        finally:
            self._tell(signals.request_left_downloader, request=request)

    async def _exchange(self, request: Request) -> Response:
        # Scrapy's own look-up parses the whole URL for its scheme.
        handler = self.handlers._handlers.get(request.url.partition(":")[0])
        if isinstance(handler, PageDownloadHandler):
            return await handler.download_request(request)
        return await self.handlers.download_request_async(request)

    def _tell(self, signal: object, **facts: Any) -> None:
        if has_receivers(self.crawler, signal):
            self.signals.send_catch_log(signal=signal, spider=self.crawler.spider, **facts)
