"""The health record of a service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from redis.exceptions import RedisError

from scraper.jobs import JobQueue, JobsError
from supervisor.children import Children, Slot, SlotState
from supervisor.memory import MemoryUsage
from supervisor.public import PUBLIC, from_public, to_public
from supervisor.queue_health import QueueHealth, read_health

REDIS_ANSWERS_WITHIN_S = 3.0
RECENT_S = 600.0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One slot. `uptime` in s of its process, None when there is none; `recent_deaths`: in the last
    10 minutes, without being asked to; `memory` in bytes, None
    while it is not read. `last_exit`: how its process before this one ended."""

    __pydantic_config__: ClassVar = PUBLIC

    id: str
    state: str
    pid: int | None
    uptime: float | None
    restarts: int
    recent_deaths: int
    last_exit: str | None
    failure: str | None
    memory: int | None


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """`problems` are sentences that say what is wrong; none means healthy. `uptime` in s.

    `total_workers` are wanted, `active_workers` of them run and ask for work. `queue` is None
    while Redis is out of reach. `memory_usage` is None where monitoring is switched off.
    """

    __pydantic_config__: ClassVar = PUBLIC

    healthy: bool
    problems: tuple[str, ...]
    supervisor: str
    total_workers: int
    active_workers: int
    workers_by_state: dict[str, int]
    redis_connected: bool
    uptime: float
    workers: tuple[WorkerStatus, ...]
    memory_usage: MemoryUsage | None
    queue: QueueHealth | None

    def to_json(self) -> dict[str, Any]:
        """With the camelCase names that users see."""
        return to_public(self)

    @classmethod
    def from_json(cls, shown: object) -> HealthStatus:
        """Raises pydantic's ValidationError."""
        return from_public(cls, shown)


def worker_statuses(
    slots: Iterable[Slot], now_s: float, memory: MemoryUsage | None
) -> tuple[WorkerStatus, ...]:
    """The slots as they stand."""
    return tuple(
        WorkerStatus(
            id=slot.name,
            state=slot.state.value,
            pid=slot.pid,
            uptime=round(now_s - slot.started_s, 1) if slot.is_alive else None,
            restarts=slot.restarts,
            recent_deaths=sum(now_s - at_s < RECENT_S for at_s in slot.history.deaths_s),
            last_exit=str(slot.last_exit) if slot.last_exit else None,
            failure=slot.failure,
            memory=memory.workers.get(slot.name) if memory else None,
        )
        for slot in slots
    )


def fleet_problems(slots: Iterable[Slot], is_draining: bool) -> list[str]:
    """What is wrong with the workers."""
    wanted = [slot for slot in slots if slot.is_wanted]
    if is_draining:
        return ["the service is shutting down"]
    problems = [f"{slot.name} {slot.failure}" for slot in wanted if slot.failure]
    problems += [
        f"{slot.name} is left alone for a while: {slot.trouble}" for slot in wanted if slot.trouble
    ]
    if not any(slot.state is SlotState.RUNNING for slot in wanted):
        exits = {str(slot.last_exit) for slot in wanted if slot.last_exit}
        detail = f": the last one {', '.join(sorted(exits))}" if exits else ""
        problems.append(f"no worker is running{detail}")
    return problems


async def read_status(
    children: Children,
    queue: JobQueue,
    *,
    now_s: float,
    started_s: float,
    is_draining: bool,
    usage: MemoryUsage | None,
) -> HealthStatus:
    """Ask Redis, look at the slots. Never raises for a server that is away."""
    problems = fleet_problems(children.slots, is_draining)
    seen: QueueHealth | None = None
    try:
        async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
            seen = await read_health(queue)
        problems += seen.problems
    except (JobsError, RedisError, TimeoutError) as error:
        problems.append(str(error) or "Redis does not answer in time")
    wanted = children.wanted
    states = Counter(slot.state.value for slot in children.slots)
    return HealthStatus(
        healthy=not problems,
        problems=tuple(problems),
        supervisor=children.supervisor,
        total_workers=len(wanted),
        active_workers=sum(slot.state is SlotState.RUNNING for slot in wanted),
        workers_by_state=dict(states),
        redis_connected=seen is not None,
        uptime=round(now_s - started_s, 1),
        workers=worker_statuses(children.slots, now_s, usage),
        memory_usage=usage,
        queue=seen,
    )


def stopped_status() -> HealthStatus:
    """The record of a service that does not run."""
    return HealthStatus(
        healthy=False, problems=("the service is not running",), supervisor="", total_workers=0,
        active_workers=0, workers_by_state={}, redis_connected=False, uptime=0.0, workers=(),
        memory_usage=None, queue=None,
    )  # fmt: skip
