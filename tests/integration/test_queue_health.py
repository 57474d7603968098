"""When a queue is called unhealthy: not for being long, but for standing still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scraper.jobs import JobQueue, load_config, open_queue
from supervisor.queue_health import read_health
from tests.integration.conftest import QueuePlace

TWO_MINUTES_MS = 120_000


@asynccontextmanager
async def waiting_since_two_minutes(place: QueuePlace) -> AsyncIterator[JobQueue]:
    """A queue whose only job has waited for that long, as Redis sees it."""
    queue = await open_queue(load_config({}, redis_url=place.url, queue_name=place.name))
    try:
        job = await queue.add_job({"type": "single-page", "url": "http://a.test/"})
        waiting = queue.transitions.keys.key("jobs:waiting")
        await queue.redis.zincrby(waiting, -TWO_MINUTES_MS, job.id)
        yield queue
    finally:
        await queue.shutdown()


async def write_history(queue: JobQueue, pages: int, ago_ms: int) -> None:
    """A point of the history, as if written that long ago."""
    seconds, _ = await queue.redis.time()
    key = queue.transitions.keys.key("history")
    await queue.redis.xadd(key, {"pages": pages}, id=f"{seconds * 1000 - ago_ms}-0")


def test_work_that_waits_while_no_worker_runs_is_unhealthy(place: QueuePlace) -> None:
    async def scenario() -> None:
        async with waiting_since_two_minutes(place) as queue:
            health = await read_health(queue)
            assert not health.healthy
            [problem] = health.problems
            assert "no worker is running: start or add workers" in problem
            assert health.ready_pages == 1
            assert 119 < health.oldest_waiting_s < 150
            assert health.throughput is None

    asyncio.run(scenario())


def test_a_queue_that_stands_still_is_unhealthy_and_one_that_moves_is_not(
    place: QueuePlace,
) -> None:
    async def scenario() -> None:
        async with waiting_since_two_minutes(place) as queue:
            totals = queue.transitions.keys.key("totals")
            await queue.redis.hset(totals, "pages_committed", 500)
            await write_history(queue, 500, ago_ms=50_000)
            standing = await read_health(queue)
            assert (standing.healthy, standing.throughput) == (False, 0.0)
            await queue.redis.hset(totals, "pages_committed", 800)
            moving = await read_health(queue)
            assert moving.healthy, moving.problems
            assert moving.throughput is not None
            assert 5 < moving.throughput < 6.1

    asyncio.run(scenario())


def test_work_that_cannot_be_done_now_is_no_fault(place: QueuePlace) -> None:
    async def scenario() -> None:
        async with waiting_since_two_minutes(place) as queue:
            await queue.pause_queue()
            health = await read_health(queue)
            assert health.healthy, health.problems
            assert (health.is_paused, health.ready_pages) == (True, 0)

    asyncio.run(scenario())
