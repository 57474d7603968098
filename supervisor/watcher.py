"""Watches the workers from outside: keeps the leases of busy ones, ends those that are stuck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import structlog

from scraper.board import Board
from scraper.jobs import OpenedQueue
from scraper.jobs.connection import REDIS_ERRORS
from supervisor.children import Slot, SlotState, StopReason
from supervisor.events import Event, WorkerRecycled, WorkerStalled
from supervisor.liveness import Finding, LivenessLimits, Pulse, Vitality, Wakefulness, examine
from supervisor.loop import FleetLoop
from supervisor.registry import WorkerRegistry

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
# Redis is asked this often whether it answers, so that a worker's silence can be told from its own.
ASK_REDIS_EVERY_S = 2.0
REDIS_ANSWERS_WITHIN_S = 2.0
# What a worker's C code needs to write the stacks of its threads.
DUMP_TAKES_S = 0.3


@dataclass(slots=True)
class _Seen:
    """What the last look at one incarnation found."""

    process: psutil.Process
    begun: int = 0
    done: int = 0
    moved_s: float = 0.0
    busy_s: float = 0.0
    cpu_s: float = 0.0
    cpu_at_s: float = 0.0
    cpu_percent: float | None = None


class LivenessWatch:
    """A duty: looks at the boards and processes of all workers twice a second."""

    def __init__(
        self,
        fleet: FleetLoop,
        registry: WorkerRegistry,
        queue: OpenedQueue,
        publish: Callable[[Event], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._registry = registry
        self._queue = queue
        self._publish = publish
        self._clock = clock
        self._limits = LivenessLimits.of(queue.config)
        self._wakefulness = Wakefulness(self._limits.stall_s / 3)
        self._seen: dict[str, _Seen] = {}
        self._asked_redis_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(min(LOOK_EVERY_S, self._limits.stall_s / 8))

    async def look(self) -> None:
        """One look at all workers, and what follows from it."""
        now_s = self._clock()
        awake_s = self._wakefulness.look(now_s)
        alive = [slot for slot in self._fleet.children.alive if slot.board is not None]
        self._forget_all_but({slot.instance for slot in alive})
        busy: list[str] = []
        for slot in alive:
            finding = self._examine(slot, now_s, awake_s)
            if finding is None:
                continue
            if finding.vitality is Vitality.BUSY:
                busy.append(slot.instance)
            elif finding.vitality is Vitality.STUCK and slot.state is not SlotState.STOPPING:
                await self._end(slot, finding)
        self._fleet.oom_kills.look()
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                await self._talk_to_redis(alive, busy, now_s)
        except (TimeoutError, *REDIS_ERRORS) as error:
            self._registry.note(False, str(error) or "no answer in time")

    # -- looking ------------------------------------------------------------------------------

    def _examine(self, slot: Slot, now_s: float, awake_s: float) -> Finding | None:
        """The verdict on one worker; None when its process is gone already."""
        board = slot.board
        assert board is not None
        try:
            seen = self._look_at(slot, board, now_s)
            is_silent = now_s - board.tick_s > self._limits.stall_s / 4
            is_stopped = is_silent and seen.process.status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return None
        pulse = Pulse(
            slot.started_s, board.tick_s, board.redis_s, is_stopped, board.pages_in_hand,
            seen.moved_s, board.begun_s, seen.busy_s,
        )  # fmt: skip
        finding = examine(pulse, self._limits, now_s, awake_s, self._registry.reachable_since_s)
        if finding.vitality is Vitality.BUSY:
            seen.busy_s = now_s
        return finding

    def _look_at(self, slot: Slot, board: Board, now_s: float) -> _Seen:
        """Raises psutil's errors."""
        seen = self._seen.get(slot.instance)
        if seen is None:
            seen = self._seen[slot.instance] = _Seen(psutil.Process(slot.pid))
        with seen.process.oneshot():
            memory, cpu = seen.process.memory_info().rss, seen.process.cpu_times()
        slot.memory_peak_bytes = max(slot.memory_peak_bytes, memory)
        cpu_s = cpu.user + cpu.system
        if seen.cpu_at_s:
            seen.cpu_percent = round(100 * (cpu_s - seen.cpu_s) / (now_s - seen.cpu_at_s), 1)
        seen.cpu_s, seen.cpu_at_s = cpu_s, now_s
        begun, done = board.pages_begun, board.pages_done
        if not board.pages_in_hand or (begun, done) != (seen.begun, seen.done):
            seen.begun, seen.done, seen.moved_s = begun, done, now_s
        return seen

    def _forget_all_but(self, instances: set[str]) -> None:
        for gone in self._seen.keys() - instances:
            del self._seen[gone]

    # -- acting -------------------------------------------------------------------------------

    async def _end(self, slot: Slot, finding: Finding) -> None:
        """Say what is stuck, have its stacks written, kill it; the rest follows from its death."""
        instance, board = slot.instance, slot.board
        assert board is not None
        seen = self._seen[instance]
        held = await self._held_by(instance)
        begun = [held[page.token] for page in board.begun() if page.token in held]
        job_ids = tuple(dict.fromkeys(job for job, _ in [*begun, *held.values()]))
        url = begun[0][1] if begun else ""
        memory = slot.memory_peak_bytes
        log.error(
            "worker is stuck", worker=slot.name, pid=slot.pid, reason=finding.reason,
            handling=url or None, jobs=list(job_ids), memory=memory, cpu_percent=seen.cpu_percent,
        )  # fmt: skip
        self._publish(
            WorkerStalled(
                worker_id=slot.name, job_id=job_ids[0] if job_ids else "", job_ids=job_ids,
                reason=finding.reason, url=url, memory=memory, cpu=seen.cpu_percent,
            )
        )  # fmt: skip
        is_stopped = "SIGSTOP" in finding.reason
        if board.tick_s and not is_stopped:
            self._fleet.dump_stacks(slot)
            await asyncio.sleep(DUMP_TAKES_S)
        if slot.instance == instance and slot.is_alive:
            # Whoever stopped it did so from outside: no page is to blame.
            self._fleet.kill(slot, f"is stuck: {finding.reason}", blames_pages=not is_stopped)

    async def _held_by(self, instance: str) -> dict[str, tuple[str, str]]:
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                return await self._queue.reader.leases(instance)
        except (TimeoutError, *REDIS_ERRORS):
            return {}

    async def _talk_to_redis(self, alive: list[Slot], busy: list[str], now_s: float) -> None:
        lease_ms = self._queue.config.lease_ms
        for instance in busy:
            await self._queue.transitions.extend_leases(instance, lease_ms, [])
        for slot in alive:
            if slot.state is SlotState.RUNNING:
                await self._look_for_overdue(slot, now_s)
        if now_s - self._asked_redis_s >= ASK_REDIS_EVERY_S:
            self._asked_redis_s = now_s
            await self._registry.known_instances()

    async def _look_for_overdue(self, slot: Slot, now_s: float) -> None:
        """A job's end is final: a worker that goes on with a page of it is replaced. It drops
        what it can by itself, at its next heartbeat; the grace is for that."""
        assert slot.board is not None
        grace_s = self._queue.config.overdue_grace_s
        old = [page for page in slot.board.begun() if now_s - page.since_s > grace_s]
        if not old:
            return
        held = await self._queue.reader.leases(slot.instance)
        void = [page for page in old if page.token not in held]
        if not void or slot.state is not SlotState.RUNNING:
            return
        reason = (
            f"it still handles a page of a job that has ended, for {now_s - void[0].since_s:.0f} s"
        )
        log.warning("worker is replaced", worker=slot.name, reason=reason)
        self._publish(WorkerRecycled(worker_id=slot.name, reason=reason))
        self._fleet.replace(slot, StopReason.OVERDUE)
