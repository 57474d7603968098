"""Keeps the end of a worker within its deadline: what is not through by then goes back."""

from __future__ import annotations

import asyncio
import os

import structlog

from scraper.extensions.duty import WorkerDuty
from scraper.jobs.connection import REDIS_ERRORS
from scraper.logs import flush_logs
from scraper.worker import Worker

log = structlog.get_logger(__name__)

CHECK_S = 0.1
LAST_CALLS_S = 3.0


class Drain(WorkerDuty):
    """On SIGTERM or SIGINT Scrapy stops asking for pages and waits for those in flight.

    From then on nothing is leased, and after `drain_timeout_s` the leases are handed back, no
    attempt charged, and the process ends.
    """

    @property
    def _is_closing(self) -> bool:
        engine = self._crawler.engine
        return engine is not None and (engine._slot is None or engine._slot.closing is not None)

    async def run(self, worker: Worker) -> None:
        while not self._is_closing:
            await asyncio.sleep(CHECK_S)
        try:
            await worker.hand_back()
        except REDIS_ERRORS as error:
            log.warning("leases could not be handed back", error=str(error))
        await asyncio.sleep(worker.config.drain_timeout_s)
        log.warning("drain deadline: pages in flight go back", pages=worker.flow.in_flight)
        try:
            async with asyncio.timeout(LAST_CALLS_S):
                await worker.frontier.reclaim_worker([worker.instance])
        except REDIS_ERRORS as error:
            log.warning("leases end by themselves", error=str(error))
        flush_logs()
        os._exit(0)
