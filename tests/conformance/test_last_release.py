"""A queue as the last release left it: its jobs go on and end, its results can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper.jobs import Config, JobQueue
from scraper.jobs.client import STORED_FORMAT, NewerQueueError
from scraper.jobs.model import JobSpec
from tests.support import queue_dump
from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

# Made by release 0.1: see the file's own README in docs/decisions/0009-stored-format.md.
FIXTURE = Path(__file__).parents[1] / "fixtures" / "queue-0.1.json"


async def test_jobs_of_the_last_release_go_on_and_end(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    queue_dump.load(probe.redis, FIXTURE)
    lost = list(probe.snapshot().get("workers"))
    assert lost, "the fixture has leases"
    assert await queue.transitions.reclaim_worker(lost) > 0
    probe.pass_time(100 * 365 * 24 * HOUR_MS, "delayed")
    await queue.set(max_job_bytes=2**31)
    # Its time limit was over long ago; that is another test's matter.
    probe.redis.delete(queue.keys.key("deadlines"))
    while jobs := [job for job in probe.snapshot().jobs.values() if not _is_final(job.state)]:
        for job in jobs:
            if job.state == "active":
                probe.redis.zadd(queue.keys.key("deadlines"), {job.id: 10**15})
        assert await queue.drain("now"), f"nothing to lease, open are {jobs}"
    reader = JobQueue(queue.redis, Config(queue_name="scrape-test"), job_types=POOLS)
    crawl = await reader.result("crawl")
    assert (crawl.status, crawl.pages_scraped) == ("completed", 4)
    records, _ = await reader.reader.records("ended")
    assert [record["title"] for record in records] == ["of release 0.1"]
    assert (await reader.result("ended")).status == "completed"


def _is_final(state: str) -> bool:
    return state in ("completed", "failed", "cancelled")


@pytest.mark.parametrize("by_limit", ["", "4:9 16:3"], ids=["unknown", "partly ended by it"])
async def test_lanes_and_fetches_that_the_last_release_left_at_a_host_are_taken_over(
    queue: QueueDriver, probe: QueueProbe, by_limit: str
) -> None:
    jobs = [f"j{number}" for number in range(8)]
    for number, job_id in enumerate(jobs):
        await queue.submit(job_id, f"http://a.test/{number}")
    leased = await queue.lease()
    assert await queue.lease() == []
    parked, host = queue.keys.key("parked:a.test"), queue.keys.key("host:a.test")
    [group] = probe.redis.zrange(parked, 0, -1)
    # That release knows no limits.
    probe.redis.hdel(host, "by_limit")
    if by_limit:
        probe.redis.hset(host, "by_limit", by_limit)
    probe.redis.rename(f"{parked}|{group.decode()}|acme", f"{parked}|0|acme")
    probe.redis.rename(f"{parked}|{group.decode()}", f"{parked}|0")
    probe.redis.zrem(parked, group)
    probe.redis.zadd(parked, {"0": 0})
    await queue.transitions.pause_job("j7")
    assert await queue.lease() == []
    await queue.transitions.resume_job("j7")
    done = []
    while leased:
        first, *leased = leased
        await queue.end("w1", first)
        done.append(first.job_id)
        leased += await queue.lease()
        assert len(leased) == min(4, len(jobs) - len(done))
    assert sorted(done) == jobs


async def test_queue_of_a_newer_release_is_refused_with_what_to_do(queue: QueueDriver) -> None:
    opened = JobQueue(queue.redis, Config(queue_name="scrape-test"), job_types=POOLS)
    await opened.initialize()
    await queue.redis.hset(queue.keys.key("meta"), "format", STORED_FORMAT + 1)
    with pytest.raises(NewerQueueError, match="upgrade this machine"):
        await opened.initialize()


def test_field_of_a_newer_release_is_left_out_of_a_stored_job() -> None:
    spec = JobSpec.from_stored('{"v":1,"type":"single-page","url":"http://a.test/","x":1}')
    assert spec.url == "http://a.test/"
