"""Exact budgets: pages recorded, fetches tried, URLs known, bytes stored."""

from __future__ import annotations

import asyncio
import random

import pytest

from scraper.jobs.leases import PageOutcome
from tests.support.queue_driver import POOLS, QueueDriver, page_commit, strict_client
from tests.support.queue_snapshot import QueueProbe, StoredJob

pytestmark = pytest.mark.anyio


def links(count: int, host: str = "a.test") -> list[str]:
    return [f"http://{host}/{number}" for number in range(count)]


def job_of(probe: QueueProbe, job_id: str = "crawl") -> StoredJob:
    return probe.snapshot().jobs[job_id]


async def test_no_more_is_leased_than_the_budget_has_left(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", links(20), max_pages=5, host_limit=32)
    assert len(await queue.lease("w1", pages=3)) == 3
    assert len(await queue.lease("w2")) == 1
    assert await queue.lease("w3") == []


async def test_failed_page_frees_its_share_of_the_budget(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(20), max_pages=3, host_limit=32)
    pages = await queue.lease("w1")
    assert len(pages) == 2
    assert await queue.lease("w2") == []
    await queue.end("w1", pages[0], PageOutcome.FAILED)
    assert len(await queue.lease("w2")) == 1


@pytest.mark.parametrize("max_pages", [1, 7, 60])
async def test_many_workers_record_exactly_max_pages(
    queue: QueueDriver, probe: QueueProbe, redis_url: str, max_pages: int
) -> None:
    await queue.submit("crawl", "http://a.test/0", max_pages=max_pages, host_limit=9, attempts=9)
    rng = random.Random(max_pages)

    async def work(name: str) -> None:
        client = strict_client(redis_url)
        driver = QueueDriver(client, queue.keys.queue)
        for _ in range(2000):
            reply = await driver.ask(name, pages=rng.choice([1, 4, 16]), pools=(*POOLS,))
            if await client.hget(queue.keys.job("crawl"), "state") == b"completed":
                break
            commits = []
            for page in reply.pages:
                is_failed = page.depth > 0 and rng.random() < 0.3
                outcome = PageOutcome.FAILED if is_failed else PageOutcome.DONE
                commits.append(page_commit(page, outcome, links=links(200)))
            if commits and rng.random() < 0.1:
                await driver.transitions.reclaim_worker([name])
            if commits:
                await driver.commit(name, *commits)
        await client.aclose()

    await asyncio.gather(*(work(f"w{number}") for number in range(5)))
    job = job_of(probe)
    assert (job.state, job.number("done")) == ("completed", max_pages)
    assert job.fields["finish_reason"] == "max_pages"
    assert job.number("left") > 0 or max_pages == 1


async def test_fetches_of_a_site_of_errors_are_bounded(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", links(300), max_pages=10, host_limit=32)
    fetched = 1
    while pages := await queue.lease(pages=7):
        fetched += len(pages)
        commits = [page_commit(it, PageOutcome.RETRY, retry_delay_ms=0) for it in pages]
        await queue.commit("w1", *commits)
    job = job_of(probe)
    assert fetched == 3 * 10 + 100 == job.number("fetches")
    assert (job.state, job.fields["finish_reason"]) == ("completed", "attempt_limit")


async def test_links_beyond_what_could_be_fetched_are_filtered(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", links(200), max_pages=10)
    job = job_of(probe)
    assert job.number("known") == 130
    assert probe.snapshot().get("job:crawl:filtered") == {"budget": str(201 - 130)}


async def test_known_links_are_not_counted_as_filtered_when_the_frontier_is_full(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", links(200), max_pages=10)
    lease = await queue.lease_one()
    await queue.end("w1", lease, links=links(50))
    assert probe.snapshot().get("job:crawl:filtered") == {"budget": str(201 - 130)}


async def test_single_page_job_queues_no_more_than_its_bound(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", "http://a.test/")
    await queue.end("w1", await queue.lease_one(), links=links(5))
    job = job_of(probe, "one")
    assert (job.state, job.number("done"), job.number("left")) == ("completed", 1, 5)


async def test_job_ends_at_its_byte_limit_with_what_it_has(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.set(max_job_bytes=100)
    await queue.start_crawl("crawl", links(5), max_pages=50)
    pages = await queue.lease()
    outcomes = await queue.commit("w1", *(page_commit(it, payload=b"x" * 60) for it in pages[:2]))
    assert outcomes == ["ok", "full"]
    job = job_of(probe)
    assert (job.state, job.fields["finish_reason"]) == ("completed", "max_bytes")
    assert job.number("bytes") <= 100
    assert await queue.end("w1", pages[2]) == "lost"


async def test_start_page_beyond_the_byte_limit_fails_its_job_readably(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.set(max_job_bytes=10)
    await queue.submit("one", "http://a.test/")
    lease = await queue.lease_one()
    assert await queue.end("w1", lease, payload=b"\x28\xb5\x2f\xfd" + b"\xff" * 60) == "full"
    job = job_of(probe, "one")
    assert (job.state, job.fields["error"]) == ("failed", "job_bytes")
    [error] = probe.snapshot().get("job:one:errors")
    assert '"url":"http:\\/\\/a.test\\/"' in error
    await queue.set(max_job_bytes=1000)
    assert await queue.transitions.retry_job("one") == "failed"
    assert await queue.end("w1", await queue.lease_one()) == "ok"


async def test_retry_of_a_job_starts_its_fetches_anew(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", links(5), max_pages=5)
    await queue.lease_one()
    await queue.transitions.cancel_job("crawl")
    assert await queue.transitions.retry_job("crawl") == "cancelled"
    assert job_of(probe).number("fetches") == 0
