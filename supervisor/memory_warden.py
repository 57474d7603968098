"""Carries out what the memory policy says: relief, recycling, killing a worker without bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from scraper.jobs import Config
from scraper.jobs.ending import end_tasks
from supervisor.children import Children, Slot, SlotState
from supervisor.events import Event, HighMemoryUsage, MemoryLeakSuspected, WorkerRecycled
from supervisor.memory import MemoryUsage, resident_bytes
from supervisor.memory_policy import (
    MemoryIsHigh,
    MemoryLimits,
    MemoryPolicy,
    Recycle,
    Relieve,
    Verdict,
    WorkerReading,
)

log = structlog.get_logger(__name__)

LOOK_AT_LIMITS_EVERY_S = 0.5


class Fleet(Protocol):
    """What is needed of the fleet's loop."""

    @property
    def is_shutting_down(self) -> bool: ...

    async def recycle(self, slot: Slot, *, has_room: bool) -> bool: ...

    def kill(self, slot: Slot, reason: str) -> None: ...


def memory_limits(config: Config) -> MemoryLimits:
    """The policy's limits by the settings."""
    return MemoryLimits(
        threshold=config.memory_threshold,
        worker_limit_bytes=config.worker_memory_limit_bytes,
        recycle_after_pages=config.recycle_after_pages,
        recycle_after_s=config.recycle_after_s,
    )


class MemoryWarden:
    """Looks at each memory reading; between them, often, at workers far beyond their limit."""

    def __init__(
        self,
        children: Children,
        fleet: Fleet,
        publish: Callable[[Event], object],
        limits: MemoryLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = children
        self._fleet = fleet
        self._publish = publish
        self._clock = clock
        self._policy = MemoryPolicy(limits)
        self._recycling: asyncio.Task[None] | None = None

    def look(self, usage: MemoryUsage) -> None:
        """Act on one reading."""
        readings = [
            self._reading(slot, usage.workers[slot.name])
            for slot in self._children.alive
            if slot.name in usage.workers
        ]
        is_whole = all(slot.state is SlotState.RUNNING for slot in self._children.wanted)
        may_recycle = is_whole and self._recycling is None and not self._fleet.is_shutting_down
        for verdict in self._policy.look(usage.share, readings, may_recycle=may_recycle):
            self._act(verdict, usage)

    async def run(self) -> None:
        """Kill, until cancelled, what is far beyond its limit: such a worker grows faster than
        readings come, and holds its interpreter, so that it hears no order to drain."""
        try:
            while True:
                await asyncio.sleep(LOOK_AT_LIMITS_EVERY_S)
                for slot in self._children.alive:
                    self._look_at_limit(slot)
        finally:
            if self._recycling is not None:
                await end_tasks([self._recycling])

    # -- inside ---------------------------------------------------------------------------

    def _reading(self, slot: Slot, used_bytes: int) -> WorkerReading:
        return WorkerReading(
            slot.name,
            slot.instance,
            used_bytes,
            pages_done=slot.board.pages_done if slot.board else 0,
            age_s=self._clock() - slot.started_s,
            is_running=slot.state is SlotState.RUNNING,
        )

    def _look_at_limit(self, slot: Slot) -> None:
        if slot.pid is None or slot.state is SlotState.STARTING:
            return
        used_bytes = resident_bytes(slot.pid)
        if self._policy.is_to_kill(self._reading(slot, used_bytes)):
            self._fleet.kill(slot, f"uses {used_bytes // 2**20} MiB, far beyond its limit")

    def _act(self, verdict: Verdict, usage: MemoryUsage) -> None:
        if isinstance(verdict, MemoryIsHigh):
            self._is_high(verdict, usage)
            return
        slot = self._children.find(verdict.worker_id)
        if isinstance(verdict, Relieve):
            if slot.board is not None:
                slot.board.relief_level = verdict.level
        elif isinstance(verdict, Recycle):
            work = self._recycle(slot, verdict.reason, has_room=not verdict.is_urgent)
            self._recycling = asyncio.create_task(work, name=f"recycle {slot.name}")
        else:
            log.warning("a memory leak is suspected", worker=slot.name, bytes=verdict.readings)
            self._publish(MemoryLeakSuspected(worker_id=slot.name, readings=verdict.readings))

    def _is_high(self, verdict: MemoryIsHigh, usage: MemoryUsage) -> None:
        level = "critical" if verdict.is_critical else "warning"
        log.warning(
            "memory use is high", level=level, used=usage.used, total=usage.total,
            percent=usage.percent_used,
        )  # fmt: skip
        self._publish(
            HighMemoryUsage(
                used=usage.used, total=usage.total, percent_used=usage.percent_used, level=level
            )
        )

    async def _recycle(self, slot: Slot, reason: str, *, has_room: bool) -> None:
        log.info("worker is recycled", worker=slot.name, reason=reason)
        try:
            if await self._fleet.recycle(slot, has_room=has_room):
                self._publish(WorkerRecycled(worker_id=slot.name, reason=reason))
        except Exception:
            log.exception("a worker could not be recycled", worker=slot.name)
        finally:
            self._recycling = None
