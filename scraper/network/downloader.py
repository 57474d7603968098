"""A Scrapy downloader without slots: who may be fetched when is decided by the frontier.

Scrapy's own queues each request in a slot of its host, waits there for delay and
concurrency, and spends two more tasks on it. Here a request that the scheduler hands out
is fetched at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.core.downloader import Downloader
from scrapy.http import Response
from twisted.internet.defer import Deferred

from scraper.network.receivers import has_receivers


class PageDownloader(Downloader):
    """Fetches at most `CONCURRENT_REQUESTS` at once; delays and limits a host do not apply.

    `DOWNLOAD_DELAY`, `CONCURRENT_REQUESTS_PER_DOMAIN`, `DOWNLOAD_SLOTS` and AutoThrottle
    have no effect.
    """

    def fetch(self, request: Request, spider: Spider | None = None) -> Deferred[Response | Request]:
        """A Deferred of what the downloader middlewares make of the response."""
        self.active.add(request)
        task = asyncio.get_running_loop().create_task(self._fetch(request))
        return Deferred.fromFuture(task)

    async def _fetch(self, request: Request) -> Response | Request:
        try:
            return await self.middleware.download_async(self._transfer, request)
        finally:
            self.active.remove(request)

    async def _transfer(self, request: Request) -> Response:
        self._tell(signals.request_reached_downloader, request=request)
        try:
            response = await self.handlers.download_request_async(request)
            self._tell(signals.response_downloaded, response=response, request=request)
            return response
        finally:
            self._tell(signals.request_left_downloader, request=request)

    def _tell(self, signal: object, **facts: Any) -> None:
        if has_receivers(self.crawler, signal):
            self.signals.send_catch_log(signal=signal, spider=self.crawler.spider, **facts)
