"""Adds what the worker has measured to the queue's counts, every few seconds."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import structlog
from scrapy import signals

from scraper.extensions.duty import WorkerDuty
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.measures import add_measures
from scraper.worker import Worker

log = structlog.get_logger(__name__)

EVERY_S = 5.0


class Measuring(WorkerDuty):
    """One small pipeline every 5 s while there is something to tell. What Redis does not confirm
    is not told again: counted too little is better than twice."""

    ends_at: ClassVar[object] = signals.engine_stopped

    async def run(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            queue, counts = worker.queue, worker.measures.take()
            if queue is None or not counts:
                continue
            try:
                await add_measures(queue.redis, queue.transitions.keys, counts)
            except REDIS_ERRORS as error:
                log.debug("measures are lost", error=str(error))
