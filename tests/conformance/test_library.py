"""The transitions as server functions: loaded where missing, refused when memory is out."""

from __future__ import annotations

import os

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from scraper.jobs.leases import PageOutcome
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio


async def test_server_that_forgot_the_functions_gets_them_again(queue: QueueDriver) -> None:
    await queue.submit("one")
    await queue.redis.function_flush()
    assert len(await queue.lease()) == 1


@pytest.mark.skipif(
    "REDIS_TEST_URL" in os.environ and "PYTEST_XDIST_WORKER" in os.environ,
    reason="other test processes use the same server",
)
async def test_full_server_refuses_whole_calls_and_still_lets_leases_go(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"http://a.test/{number}" for number in range(4)])
    leases = await queue.lease()
    before = probe.snapshot().all
    await queue.redis.config_set("maxmemory", "1mb")
    try:
        for refused in (
            queue.submit("two"),
            queue.ask(),
            queue.end("w1", leases[0], PageOutcome.FAILED),
        ):
            with pytest.raises((OutOfMemoryError, ResponseError), match=r"OOM|memory"):
                await refused
        assert probe.snapshot().all == before
        assert (await queue.transitions.extend_leases("w1", HOUR_MS, ["crawl"])).is_known
        assert await queue.transitions.release_pages("w1", [leases[0].token]) == 1
        assert await queue.transitions.reclaim_worker(["w1"]) == 3
        assert await queue.transitions.cancel_job("crawl") == "active"
        assert await queue.transitions.remove_job("crawl") == "cancelled"
    finally:
        await queue.redis.config_set("maxmemory", "0")
    assert await queue.commit("w1", *map(page_commit, leases)) == ["lost"] * 4
