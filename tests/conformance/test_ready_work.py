"""The count of work that a free worker could take now, which the fleet's size follows."""

from __future__ import annotations

import pytest

from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

A = "http://a.test/"


async def ready(queue: QueueDriver, **options: int) -> tuple[int, int]:
    found = await queue.transitions.count_ready(POOLS, **options)
    return found.lanes, found.pages


async def test_waiting_jobs_and_queued_pages_are_ready(queue: QueueDriver) -> None:
    assert await ready(queue) == (0, 0)
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2", "http://b.test/"], max_pages=9)
    await queue.submit("one", customer_id="other", priority=5)
    assert await ready(queue) == (3, 4)
    assert await ready(queue, most_lanes=1) == (1, 1)


async def test_what_is_leased_delayed_paused_or_waits_for_its_host_is_not_ready(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("later", delay_ms=HOUR_MS)
    assert await ready(queue) == (0, 0)
    await queue.submit("first", A, host_limit=1)
    await queue.submit("second", A, host_limit=1)
    await queue.lease(pages=4)
    # The host is at its limit: the second job is parked under it.
    assert await ready(queue) == (0, 0)
    await queue.submit("third")
    assert await ready(queue) == (1, 1)
    await queue.transitions.pause_queue(True, POOLS)
    assert await ready(queue) == (0, 0)
