"""Has redirects' targets keep their host's delay: each takes a start of its own in Redis."""

from __future__ import annotations

import asyncio
import itertools

from scrapy import Request

from scraper.frontier import Frontier
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.leases import StartState
from scraper.leasing import LEAD_S, LeaseKeeper
from scraper.network.failures import HostRestsError, LateStartError
from scraper.network.requests import LEASE, START_AT, START_BY


class LaterStarts:
    """Takes starts for requests that belong to a lease, but are not the one it was granted for."""

    def __init__(self, frontier: Frontier, worker: str, keeper: LeaseKeeper) -> None:
        self._frontier = frontier
        self._worker = worker
        self._keeper = keeper
        self._numbers = itertools.count(1)

    async def take(self, request: Request) -> None:
        """Wait until shortly before `request` may start, and say in its meta when that is.

        Raises HostRestsError when its host is not to be asked for long, LateStartError when its
        page has to go back to the queue: its lease is lost, or Redis is away.
        """
        meta = request.meta
        number = next(self._numbers)
        try:
            start = await self._frontier.take_start(self._worker, meta[LEASE], number, request.url)
        except REDIS_ERRORS as error:
            raise LateStartError from error
        if start.state is StartState.LOST:
            raise LateStartError
        now_s = asyncio.get_running_loop().time()
        start_at_s = self._keeper.loop_time(start.at_ms)
        if start.state is StartState.RESTS:
            raise HostRestsError(request.url, start_at_s - now_s)
        if not start.at_ms:
            return
        meta[START_AT] = start_at_s
        if start.delay_ms:
            meta[START_BY] = start_at_s + self._keeper.lateness_s(start.delay_ms)
        await asyncio.sleep(start_at_s - LEAD_S - now_s)
