"""What the background duties of a worker share: their start and their end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar, Self

from scrapy import signals
from scrapy.crawler import Crawler

from scraper.scheduler import worker_of
from scraper.worker import Worker


class WorkerDuty(ABC):
    """A Scrapy extension that runs `run` in the background, once the worker has started."""

    # The signal that ends it.
    ends_at: ClassVar[object] = signals.spider_closed

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        extension = cls(crawler)
        crawler.signals.connect(extension._opened, signals.spider_opened)
        crawler.signals.connect(extension._ended, cls.ends_at)
        return extension

    def _opened(self) -> None:
        worker = worker_of(self._crawler)
        if worker is not None:
            self._task = asyncio.create_task(self.run(worker))

    def _ended(self) -> None:
        if self._task:
            self._task.cancel()

    @abstractmethod
    async def run(self, worker: Worker) -> None:
        """The duty, until it is cancelled."""
