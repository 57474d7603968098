"""The health of a queue as anybody with its Redis can read it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from scraper.jobs import JobQueue, JobState
from scraper.jobs.connection import check_server

# Waiting work that nobody picks up for this long is a fault.
STARVED_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """`problems` are sentences that say what to do; empty means healthy. `warnings` do not make
    it unhealthy. Times in s."""

    problems: list[str]
    warnings: list[str]
    workers: int
    backlog: int
    oldest_waiting_s: float
    jobs: dict[str, int]
    rejected: int
    is_paused: bool
    redis_latency_ms: float
    redis: str

    @property
    def is_healthy(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {
            "healthy": self.is_healthy,
            "problems": self.problems,
            "warnings": self.warnings,
            "workers": self.workers,
            "backlog": self.backlog,
            "oldestWaiting": round(self.oldest_waiting_s, 1),
            "jobs": self.jobs,
            "rejected": self.rejected,
            "paused": self.is_paused,
            "redis": self.redis,
            "redisLatencyMs": self.redis_latency_ms,
        }


async def read_health(queue: JobQueue) -> QueueHealth:
    """Ask Redis. Raises RedisUnreachableError."""
    async with queue.translated():
        before_s = time.perf_counter()
        await queue.redis.ping()
        latency_ms = round((time.perf_counter() - before_s) * 1000, 2)
        counts = await queue.reader.counts()
        facts = await check_server(queue.redis)
        waiting = queue.transitions.keys.key(f"jobs:{JobState.WAITING.value}")
        oldest = await queue.redis.zrange(waiting, 0, 0, withscores=True)
        seconds, microseconds = await queue.redis.time()
    now_s = seconds + microseconds / 1e6
    oldest_s = max(0.0, now_s - oldest[0][1] / 1000) if oldest else 0.0
    problems = [str(problem) for problem in facts.problems if problem.is_fatal]
    warnings = [str(problem) for problem in facts.problems if not problem.is_fatal]
    if oldest_s > STARVED_AFTER_S and not counts.is_paused:
        who = "no worker is running" if not counts.workers else "the workers take none"
        problems.append(f"jobs wait for {oldest_s:.0f} s and {who}: start or add workers")
    return QueueHealth(
        problems=problems,
        warnings=warnings,
        workers=counts.workers,
        backlog=counts.backlog,
        oldest_waiting_s=oldest_s,
        jobs=counts.by_state,
        rejected=counts.rejected,
        is_paused=counts.is_paused,
        redis_latency_ms=latency_ms,
        redis=f"{facts.engine} {'.'.join(map(str, facts.version))}, durability {facts.durability}",
    )
