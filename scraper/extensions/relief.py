"""Gives memory back when the supervisor asks for it: collects, trims, takes fewer pages at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import structlog

from scraper.extensions.duty import WorkerDuty
from scraper.memory import give_back
from scraper.worker import Worker

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.25
# While relief is asked for, what has become garbage since is worth another round.
COLLECT_EVERY_S = 10.0


class Relief(WorkerDuty):
    """Obeys the relief level on the worker's board: from 1 on it collects garbage and returns free
    memory to the system; each level above halves the pages in flight. 0 restores them."""

    async def run(self, worker: Worker) -> None:
        usual, level, collected_s = worker.keeper.limits.pages, 0, 0.0
        while True:
            asked, now_s = worker.board.relief_level, time.monotonic()
            if asked != level:
                self._limit_pages(worker, max(1, usual >> max(0, asked - 1)))
                log.info("relief", level=asked, pages_at_once=worker.keeper.limits.pages)
            if asked and (asked != level or now_s - collected_s >= COLLECT_EVERY_S):
                give_back()
                collected_s = now_s
            level = asked
            await asyncio.sleep(LOOK_EVERY_S)

    def _limit_pages(self, worker: Worker, pages: int) -> None:
        """Pages in flight end as usual; what is leased ahead is simply used up more slowly."""
        worker.keeper.limits = replace(worker.keeper.limits, pages=pages)
        engine = self._crawler.engine
        if engine is not None:
            engine.downloader.total_concurrency = pages
        worker.keeper.poke()
