"""What Redis knows of this supervisor's workers: who has come, and that the dead are gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog

from scraper.jobs import JobQueue
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.leases import WorkerDeath

log = structlog.get_logger(__name__)

RETRY_FROM_S = 0.1
RETRY_TO_S = 2.0


class WorkerRegistry:
    """Hands the leases of dead workers back at once, or as soon as Redis is there again."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._dead: set[str] = set()
        self._deaths: dict[str, WorkerDeath] = {}
        self._has_dead = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self.is_reachable = True
        self.reachable_since_s: float | None = None

    def bury(self, instances: Iterable[str]) -> None:
        """These processes have ended: whatever they hold goes back."""
        self._dead.update(instances)
        if self._dead:
            self._is_settled.clear()
            self._has_dead.set()

    def bury_suspects(self, death: WorkerDeath) -> None:
        """This process died while it handled pages: they are suspects from now on."""
        self._deaths[death.instance] = death
        self.bury([death.instance])

    async def run(self) -> None:
        """Hand leases back until cancelled."""
        pause_s = RETRY_FROM_S
        while True:
            await self._has_dead.wait()
            try:
                await self._reclaim()
            except REDIS_ERRORS as error:
                self.note(False, str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_TO_S)
            else:
                self.note(True)
                pause_s = RETRY_FROM_S

    async def settle(self, deadline_s: float) -> bool:
        """Wait until all leases are back; False when that took too long."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._is_settled.wait()
        except TimeoutError:
            log.warning("leases end by themselves: Redis is out of reach", workers=len(self._dead))
            return False
        return True

    async def known_instances(self) -> set[str] | None:
        """Worker instances that have asked for work, on all machines; None: no answer."""
        try:
            known = set(await self._queue.reader.workers())
        except REDIS_ERRORS as error:
            self.note(False, str(error))
            return None
        self.note(True)
        return known

    async def _reclaim(self) -> None:
        dead = sorted(self._dead)
        pages = 0
        for instance in [one for one in dead if one in self._deaths]:
            burial = await self._queue.transitions.bury_worker(self._deaths[instance])
            pages += burial.pages
            del self._deaths[instance]
            for url in burial.quarantined:
                log.error("a page is quarantined: it killed its workers", url=url, worker=instance)
        pages += await self._queue.transitions.reclaim_worker(dead)
        self._dead.difference_update(dead)
        if not self._dead:
            self._has_dead.clear()
            self._is_settled.set()
        if pages:
            log.info("leases handed back", pages=pages, workers=dead)

    def note(self, is_reachable: bool, error: str = "") -> None:
        """Whether Redis answered just now."""
        if is_reachable != self.is_reachable:
            if is_reachable:
                log.info("Redis answers again")
            else:
                log.warning("Redis does not answer", error=error)
        self.is_reachable = is_reachable
        if not is_reachable:
            self.reachable_since_s = None
        elif self.reachable_since_s is None:
            self.reachable_since_s = time.monotonic()
