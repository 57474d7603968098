"""Has as many workers as the load asks for, while `scale auto` is on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from scraper.jobs import Config, JobQueue
from scraper.jobs.connection import REDIS_ERRORS
from supervisor.cgroup import memory_limit_bytes
from supervisor.children import Children, SlotState
from supervisor.cpu import CpuMeter
from supervisor.memory import MemoryUsage
from supervisor.scale_policy import LoadReading, ScaleLimits, ScalePolicy
from supervisor.sizing import most_workers

log = structlog.get_logger(__name__)


def scale_limits(config: Config) -> ScaleLimits:
    """The policy's limits by the settings."""
    highest = config.worker_count_max or most_workers()
    return ScaleLimits(
        lowest=config.worker_count_min,
        highest=max(highest, config.worker_count_min),
        up_pause_s=config.scale_up_pause_s,
        down_after_s=config.scale_down_after_s,
        memory_full=config.memory_threshold,
    )


def use_of(held: Mapping[str, Sequence[str]], config: Config) -> float:
    """What the workers have in hand, in workers: by their pages, or by their jobs."""
    pages = sum(len(jobs) for jobs in held.values())
    jobs = {job for jobs in held.values() for job in jobs}
    return max(pages / config.page_concurrency, len(jobs) / config.worker_concurrency)


class AutoScaler:
    """Reads the load at each health interval and changes the count of workers by the policy."""

    def __init__(
        self,
        queue: JobQueue,
        children: Children,
        resize: Callable[[int], None],
        memory: Callable[[], MemoryUsage | None],
        pools: Sequence[str] | None = None,
    ) -> None:
        """`memory`: the last reading, None where there is none yet."""
        self._queue = queue
        self._children = children
        self._resize = resize
        self._memory = memory
        self._pools = sorted(queue.job_types) if pools is None else pools
        self.policy = ScalePolicy(scale_limits(queue.config))
        self._cpu = CpuMeter()

    async def run(self) -> None:
        """Follow the load until cancelled."""
        while True:
            await asyncio.sleep(self._queue.config.health_interval_s)
            try:
                await self._look()
            except REDIS_ERRORS as error:
                log.debug("scaling waits for Redis", error=str(error))

    async def _look(self) -> None:
        reading = await self._reading()
        wanted = self.policy.look(reading)
        # Somebody may have scaled meanwhile: theirs holds.
        if wanted != reading.workers == self._children.count:
            log.info(
                "the fleet follows the load", workers=wanted, before=reading.workers,
                ready_pages=reading.ready_pages, use=round(reading.use, 2),
                cpu=round(reading.cpu_share, 2), memory=round(reading.memory_share, 2),
            )  # fmt: skip
            self._resize(wanted)

    async def _reading(self) -> LoadReading:
        children, count = self._children, self._children.count
        alive = children.alive
        held = await self._queue.reader.jobs_in_hand([slot.instance for slot in alive])
        ready = await self._queue.transitions.count_ready(self._pools)
        usage = self._memory()
        by_workers = sum(usage.workers.values()) if usage else 0
        own = usage.used - by_workers if usage else 0
        all_memory = memory_limit_bytes()
        return LoadReading(
            at_s=time.monotonic(),
            workers=count,
            ready_pages=ready.pages,
            use=use_of(held, self._queue.config),
            cpu_share=self._cpu.share(slot.pid for slot in alive if slot.pid is not None),
            memory_share=by_workers / all_memory,
            own_memory_share=own / all_memory,
            is_settled=all(
                slot.state is SlotState.RUNNING and slot.is_wanted for slot in children.slots
            ),
        )
