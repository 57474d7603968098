"""Limits towards a host hold over all workers; what waits for a host is out of the way."""

from __future__ import annotations

import pytest

from scraper.jobs.leases import PageOutcome
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit, submission
from tests.support.queue_invariants import faults
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

SLOW = "http://slow.test"


async def test_host_limit_holds_over_jobs_and_workers(queue: QueueDriver) -> None:
    for number in range(10):
        await queue.submit(f"job-{number}", f"{SLOW}/{number}", host_limit=4)
    first = await queue.lease("w1", pages=3)
    second = await queue.lease("w2")
    assert (len(first), len(second)) == (3, 1)
    assert await queue.lease("w3") == []
    await queue.end("w1", first[0])
    assert len(await queue.lease("w3")) == 1
    assert await queue.lease("w2") == []


async def test_each_end_of_a_fetch_lets_one_waiting_page_on(queue: QueueDriver) -> None:
    for number in range(30):
        await queue.submit(f"job-{number}", f"{SLOW}/{number}", host_limit=2)
    done = 0
    while pages := await queue.lease("w1"):
        assert len(pages) <= 2
        await queue.commit("w1", *map(page_commit, pages))
        done += len(pages)
    assert done == 30


async def test_release_and_reclaim_free_the_hosts_places(queue: QueueDriver) -> None:
    for number in range(6):
        await queue.submit(f"job-{number}", f"{SLOW}/{number}", host_limit=2)
    first = await queue.lease("w1")
    assert await queue.lease("w2") == []
    await queue.transitions.release_pages("w1", [first[0].token])
    assert len(await queue.lease("w2")) == 1
    await queue.transitions.reclaim_worker(["w1"])
    assert len(await queue.lease("w3")) == 1


async def test_cancel_frees_the_hosts_places(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", [f"{SLOW}/{it}" for it in range(5)], host_limit=2)
    await queue.submit("other", f"{SLOW}/other", host_limit=2)
    assert len(await queue.lease("w1", slots=1)) == 2
    assert await queue.lease("w2") == []
    await queue.transitions.cancel_job("crawl")
    assert [page.job_id for page in await queue.lease("w2")] == ["other"]


async def test_delay_spaces_fetches_over_all_workers(queue: QueueDriver, probe: QueueProbe) -> None:
    for number in range(3):
        await queue.submit(f"job-{number}", f"{SLOW}/{number}", host_delay_ms=60_000)
    first = await queue.lease("w1")
    assert len(first) == 1
    reply = await queue.ask("w2")
    assert reply.pages == []
    assert 0 < reply.next_due_ms - reply.now_ms <= 60_000
    probe.pass_time(60_000, "hosts")
    assert len(await queue.lease("w2")) == 1
    assert await queue.lease("w3") == []


async def test_page_within_the_horizon_is_leased_with_its_start(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1", host_delay_ms=1000)
    await queue.submit("two", f"{SLOW}/2", host_delay_ms=1000)
    first = await queue.lease_one("w1")
    second = await queue.lease_one("w2", horizon_ms=5000)
    assert second.start_at_ms == first.start_at_ms + 1000


async def test_retry_after_stops_the_whole_host_for_its_time(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    for number in range(3):
        await queue.submit(f"job-{number}", f"{SLOW}/{number}")
    lease = await queue.lease_one()
    await queue.end("w1", lease, PageOutcome.RETRY, retry_delay_ms=HOUR_MS, host_pause_ms=30_000)
    assert await queue.lease("w2") == []
    probe.pass_time(29_000, "hosts")
    assert await queue.lease("w2") == []
    probe.pass_time(1000, "hosts")
    assert len(await queue.lease("w2")) >= 1
    probe.pass_time(1000, "hosts")
    assert len(await queue.lease("w3")) >= 1


async def test_shorter_retry_after_does_not_shorten_a_longer_one(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    for number in range(3):
        await queue.submit(f"job-{number}", f"{SLOW}/{number}")
    first, second = await queue.lease("w1", pages=2)
    await queue.end("w1", first, PageOutcome.FAILED, host_pause_ms=60_000)
    await queue.end("w1", second, PageOutcome.FAILED, host_pause_ms=1000)
    probe.pass_time(30_000, "hosts")
    assert await queue.lease() == []
    probe.pass_time(30_000, "hosts")
    assert len(await queue.lease()) == 1


async def test_lease_says_when_others_wait_for_its_host(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1", host_limit=1)
    await queue.submit("two", f"{SLOW}/2", host_limit=1)
    assert (await queue.lease_one(request_id="r", slots=2)).is_contended is False
    await queue.lease("w2")
    [again] = (await queue.ask(request_id="r")).pages
    assert again.is_contended is True


async def test_jobs_that_wait_for_a_slow_host_do_not_delay_another_hosts_job(
    queue: QueueDriver,
) -> None:
    await queue.submit_many(
        [submission(f"slow-{it}", f"{SLOW}/{it}", host_limit=1) for it in range(2000)]
    )
    await queue.submit("late", "http://fast.test/")
    await queue.lease_one("w1")
    calls, parked = 0, 0
    while True:
        calls += 1
        reply = await queue.ask("w2")
        now_parked = await queue.redis.zcard(queue.keys.key("parked:slow.test|0|acme"))
        assert now_parked - parked <= 64
        parked = now_parked
        if reply.pages:
            break
        # Not all were looked at: the worker is told to ask again at once, not to wait.
        assert reply.next_due_ms <= reply.now_ms
    assert [page.job_id for page in reply.pages] == ["late"]
    assert calls <= 2000 // 64 + 2
    await queue.submit("next", "http://other.test/")
    assert [page.job_id for page in await queue.lease("w3")] == ["next"]


async def test_lane_woken_while_its_job_has_no_budget_waits_in_one_place_only(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    for number in range(3):
        await queue.submit(f"b{number}", f"{SLOW}/{number}", host_limit=1)
    first = await queue.lease_one("w1", pools=["single-page"])
    assert await queue.lease("w1", pools=["single-page"]) == []
    # The host is not looked at by the clock while the test goes on, however slow the machine is.
    probe.pass_time(-HOUR_MS, "hosts_due")
    links = [f"{SLOW}/x", *(f"http://a.test/{number}" for number in range(3))]
    await queue.start_crawl("crawl", links, worker="w2", max_pages=3, priority=5)
    pages = await queue.lease("w2", pools=["full-crawl"])
    assert [page.url for page in pages] == links[1:3]
    await queue.end("w1", first)
    ready = set(probe.snapshot().turnstiles("ready"))
    assert {lane for lane in ready if lane.endswith(" slow.test")} == {"crawl slow.test"}
    await queue.end("w2", pages[0], PageOutcome.FAILED)
    assert faults(probe.snapshot()) == []
    assert len(await queue.lease("w2", pools=["full-crawl"])) == 1


async def test_smaller_limit_of_one_job_does_not_block_anothers_larger(
    queue: QueueDriver,
) -> None:
    await queue.start_crawl("own", [f"{SLOW}/{it}" for it in range(20)], host_limit=8)
    await queue.submit("guest", f"{SLOW}/guest", host_limit=1, customer_id="guest")
    assert len(await queue.lease("w1", slots=0, held=["own"], pages=4)) == 4
    assert (await queue.lease_one("w2")).job_id == "own"
    assert len(await queue.lease("w1", slots=0, held=["own"])) == 3
