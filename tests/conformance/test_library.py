"""The transitions as server functions: loaded where missing, refused when memory is out."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from scraper.jobs.cluster import QueueCluster
from scraper.jobs.leases import PageOutcome
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit, strict_client
from tests.support.queue_snapshot import QueueProbe

pytestmark = [pytest.mark.anyio, pytest.mark.every_server]


async def key_questions(client: Any) -> int:
    """How often a cluster was asked which arguments of a command are keys."""
    if not isinstance(client, QueueCluster):
        return 0
    await client.initialize()
    nodes = [await client.info("commandstats", target_nodes=it) for it in client.get_nodes()]
    return sum(stats.get("cmdstat_command|getkeys", {"calls": 0})["calls"] for stats in nodes)


async def test_server_that_forgot_the_functions_gets_them_again(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    probe.forget_functions()
    assert len(await queue.lease()) == 1


async def test_call_asks_no_server_for_its_keys(queue: QueueDriver, redis_url: str) -> None:
    client = strict_client(redis_url)
    try:
        driver = QueueDriver(client, queue.keys.queue)
        before = await key_questions(client)
        await driver.submit("one")
        assert len(await driver.lease()) == 1
        assert await key_questions(client) == before
    finally:
        await client.aclose()


async def test_full_server_refuses_whole_calls_and_still_lets_leases_go(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"http://a.test/{number}" for number in range(4)])
    leases = await queue.lease()
    before = probe.snapshot().all
    probe.limit_memory("1mb")
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
        probe.limit_memory("0")
    assert await queue.commit("w1", *map(page_commit, leases)) == ["lost"] * 4
