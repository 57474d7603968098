"""Extends the worker's leases twice a second, and stops work on jobs that ended elsewhere."""

from __future__ import annotations

import asyncio

import structlog
from redis.exceptions import ResponseError

from scraper.extensions.duty import WorkerDuty
from scraper.jobs.connection import REDIS_ERRORS
from scraper.worker import Worker

log = structlog.get_logger(__name__)

EVERY_S = 0.5


class Heartbeat(WorkerDuty):
    """While the worker has pages: extends their leases; a cancelled job's pages are dropped."""

    async def run(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            held = worker.keeper.held_jobs
            if not held and not worker.committer.pending:
                continue
            try:
                await self.beat(worker, held)
            except REDIS_ERRORS as error:
                if isinstance(error, ResponseError):
                    worker.board.redis_answered()
                log.debug("heartbeat waits for Redis", error=str(error))

    async def beat(self, worker: Worker, held: list[str]) -> None:
        """One extension of all leases."""
        reply = await worker.frontier.extend_leases(worker.instance, worker.config.lease_ms, held)
        worker.board.redis_answered()
        dropped = worker.keeper.drop_jobs(reply.gone)
        if not reply.is_known:
            log.warning("leases were lost: this worker was taken for dead", worker=worker.instance)
            dropped += worker.keeper.drop_all()
            worker.keeper.poke()
        # Leased anew between the two calls, some of them may be this worker's again.
        await worker.keeper.give_back(dropped)
