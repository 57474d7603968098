"""How each supervisor's workers are, in Redis, for whoever shows the fleet of all machines."""

from __future__ import annotations

import asyncio
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from scraper.jobs import JobQueue
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.version import VERSION
from supervisor.children import Children, Slot
from supervisor.health import HealthStatus
from supervisor.loop_lag import LoopLag
from supervisor.memory import MemoryUsage
from supervisor.name_claim import NameClaim

log = structlog.get_logger(__name__)

REPORT_EVERY_S = 2.0
REPORT_KEPT_MS = 15_000


async def read_reports(queue: JobQueue) -> list[dict[str, Any]]:
    """The newest report of each supervisor on this queue, by name: those heard of in the last
    15 s. The fields are in docs/operations.md. Raises redis-py's errors."""
    keys = queue.transitions.keys
    names = sorted(
        name.decode() for name in await queue.redis.zrange(keys.key("supervisors"), 0, -1)
    )
    if not names:
        return []
    texts = await queue.redis.mget([keys.key(f"supervisor:{name}") for name in names])
    return [json.loads(text) for text in texts if text]


def worker_report(
    slot: Slot, job_ids: Sequence[str], memory: MemoryUsage | None, limit_bytes: int, now_s: float
) -> dict[str, Any]:
    """One worker. `job_ids`: the job of each page in its hands."""
    return {
        "id": slot.name,
        "state": slot.state.value,
        "pid": slot.pid,
        "jobs": sorted(set(job_ids)),
        "pages": len(job_ids),
        "memoryBytes": memory.workers.get(slot.name) if memory else None,
        "memoryLimitBytes": limit_bytes,
        "restarts": slot.restarts,
        "ageS": round(now_s - slot.started_s, 1) if slot.is_alive else None,
        "lastExit": str(slot.last_exit) if slot.last_exit else None,
    }


class FleetReporter:
    """Writes this supervisor's report every two seconds, and takes it away at the end."""

    def __init__(
        self,
        queue: JobQueue,
        children: Children,
        claim: NameClaim,
        *,
        takes_orders: bool,
        health: Callable[[], HealthStatus | None],
        lag: LoopLag,
    ) -> None:
        """`health`: the newest reading, None where health is not monitored."""
        self._queue = queue
        self._children = children
        self._claim = claim
        self._takes_orders = takes_orders
        self._health = health
        self._lag = lag
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                await self.report()
            except REDIS_ERRORS as error:
                log.debug("the report waits for Redis", error=str(error))
            await asyncio.sleep(REPORT_EVERY_S)

    async def report(self) -> None:
        """Report once. Raises redis-py's errors."""
        await self._claim.renew()
        alive = [slot.instance for slot in self._children.alive]
        held = await self._queue.reader.jobs_in_hand(alive)
        report = self._content(held)
        running = sum(worker["state"] == "running" for worker in report["workers"])
        memory = report["memory"] or {"used": 0, "total": 0}
        load = (len(self._children.wanted), running, memory["used"], memory["total"])
        await self._queue.transitions.report_supervisor(
            self._children.supervisor, json.dumps(report), REPORT_KEPT_MS, load
        )

    async def leave(self) -> None:
        """This supervisor ends. Raises redis-py's errors."""
        name = self._children.supervisor
        await self._queue.transitions.report_supervisor(name, "", REPORT_KEPT_MS)
        await self._claim.leave()

    def _content(self, held: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        health, now_s = self._health(), time.monotonic()
        memory = health.memory_usage if health else None
        limit_bytes = self._queue.config.worker_memory_limit_bytes
        return {
            "name": self._children.supervisor,
            "version": VERSION,
            "host": platform.node(),
            "startedAt": self._started_at,
            "takesOrders": self._takes_orders,
            "workers": [
                worker_report(slot, held.get(slot.instance, ()), memory, limit_bytes, now_s)
                for slot in self._children.slots
            ],
            "memory": {
                "used": memory.used, "total": memory.total, "percentUsed": memory.percent_used,
            } if memory else None,
            "health": health.to_json() if health else None,
            "loopLagMs": self._lag.take_ms(),
        }  # fmt: skip
