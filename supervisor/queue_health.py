"""The health of a queue as anybody with its Redis can read it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scraper.jobs import JobQueue, JobState
from scraper.jobs.connection import ServerFacts, check_server
from scraper.jobs.history import HistoryPoint, read_history
from supervisor.public import PUBLIC, to_public

# Waiting work that nobody picks up for this long is a fault.
STARVED_AFTER_S = 60.0
# Throughput is told over this time.
RATE_OVER_S = 60.0


@dataclass(frozen=True, slots=True)
class RedisHealth:
    """How the server is. Empty or None: it does not say. `latency_ms` of one PING.

    `durability`: the fsync policy of its append-only file, `none` without one.
    """

    __pydantic_config__: ClassVar = PUBLIC

    latency_ms: float
    server: str
    role: str
    durability: str
    eviction_policy: str | None
    max_memory_bytes: int | None
    used_memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """`problems` are sentences that say what to do; empty means healthy. `warnings` do not make
    it unhealthy. `ready_pages`: what a free worker could take now. `throughput`: pages/s over the
    last minute, None until that can be told."""

    __pydantic_config__: ClassVar = PUBLIC

    healthy: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    workers: int
    backlog: int
    oldest_waiting_s: float
    ready_pages: int
    throughput: float | None
    jobs: dict[str, int]
    rejected: int
    is_paused: bool
    redis: RedisHealth

    def to_json(self) -> dict[str, Any]:
        """With the camelCase names that users see."""
        return to_public(self)


async def read_health(queue: JobQueue) -> QueueHealth:
    """Ask Redis. Raises RedisUnreachableError."""
    keys = queue.transitions.keys
    async with queue.translated():
        before_s = time.perf_counter()
        await queue.redis.ping()
        latency_ms = round((time.perf_counter() - before_s) * 1000, 2)
        counts = await queue.reader.counts()
        facts = await check_server(queue.redis, queue.config.replicas_wanted)
        waiting = keys.key(f"jobs:{JobState.WAITING.value}")
        oldest = await queue.redis.zrange(waiting, 0, 0, withscores=True)
        seconds, microseconds = await queue.redis.time()
        now_s = seconds + microseconds / 1e6
        since_ms = int((now_s - RATE_OVER_S) * 1000)
        points = await read_history(queue.redis, keys, since_ms=since_ms, limit=1)
        ready = await queue.transitions.count_ready(sorted(queue.job_types))
    oldest_s = max(0.0, now_s - oldest[0][1] / 1000) if oldest else 0.0
    pace = _Pace.since(points, counts.totals.get("pages_committed", 0), now_s)
    problems = [str(problem) for problem in facts.problems if problem.is_fatal]
    warnings = [str(problem) for problem in facts.problems if not problem.is_fatal]
    is_idle = pace.is_standing or (not counts.workers and not pace.pages_per_s)
    if ready.pages and oldest_s > STARVED_AFTER_S and is_idle:
        who = "no worker is running" if not counts.workers else "the workers take none"
        problems.append(f"jobs wait for {oldest_s:.0f} s and {who}: start or add workers")
    return QueueHealth(
        healthy=not problems,
        problems=tuple(problems),
        warnings=tuple(warnings),
        workers=counts.workers,
        backlog=counts.backlog,
        oldest_waiting_s=round(oldest_s, 1),
        ready_pages=ready.pages,
        throughput=pace.pages_per_s,
        jobs=counts.by_state,
        rejected=counts.rejected,
        is_paused=counts.is_paused,
        redis=_redis_health(facts, latency_ms),
    )


@dataclass(frozen=True, slots=True)
class _Pace:
    """`pages_per_s` None: there is no history yet. `is_standing`: nothing was committed for long
    enough to tell."""

    pages_per_s: float | None
    is_standing: bool

    @classmethod
    def since(cls, points: Sequence[HistoryPoint], pages: int, now_s: float) -> _Pace:
        if not points:
            # No supervisor was there to write one.
            return cls(None, is_standing=False)
        done = max(0, pages - points[0].pages)
        span_s = max(now_s - points[0].at_ms / 1000, 0.001)
        return cls(round(done / span_s, 2), is_standing=not done and span_s >= RATE_OVER_S / 2)


def _redis_health(facts: ServerFacts, latency_ms: float) -> RedisHealth:
    return RedisHealth(
        latency_ms=latency_ms,
        server=f"{facts.engine} {'.'.join(map(str, facts.version))}".strip(),
        role=facts.role,
        durability=facts.durability,
        eviction_policy=facts.maxmemory_policy,
        max_memory_bytes=facts.maxmemory_bytes,
        used_memory_bytes=facts.used_memory_bytes,
    )
