"""An idle worker is woken when there is work for it, and only then."""

from __future__ import annotations

import pytest

from scraper.jobs.leases import PageOutcome
from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

A = "http://a.test/"


def woken(probe: QueueProbe) -> list[str]:
    """Workers with a wake-up token."""
    return sorted(name[5:] for name in probe.snapshot().own if name.startswith("wake:"))


async def idle(queue: QueueDriver, *workers: str, pools: tuple[str, ...] = POOLS) -> None:
    for worker in workers:
        assert await queue.lease(worker, pools=pools) == []


async def test_submit_wakes_one_idle_worker(queue: QueueDriver, probe: QueueProbe) -> None:
    await idle(queue, "w1", "w2", "w3")
    await queue.submit("one")
    assert len(woken(probe)) == 1
    await queue.submit("two")
    assert len(woken(probe)) == 2


async def test_worker_of_another_type_is_not_woken(queue: QueueDriver, probe: QueueProbe) -> None:
    await idle(queue, "w1", pools=("full-crawl",))
    await idle(queue, "w2", pools=("@other",))
    await queue.submit("one")
    assert woken(probe) == []


async def test_worker_with_work_is_not_woken(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one")
    await queue.lease_one("w1")
    await queue.submit("two")
    assert woken(probe) == []


async def test_worker_that_got_fewer_pages_than_it_wanted_is_woken(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    assert len((await queue.ask("w1", pages=2, slots=2)).pages) == 1
    await queue.submit("two")
    assert woken(probe) == ["w1"]


async def test_worker_that_may_take_on_no_other_job_is_not_woken(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    assert len((await queue.ask("w1", pages=2, slots=1)).pages) == 1
    await queue.submit("two")
    assert woken(probe) == []


async def test_worker_that_asks_again_has_no_stale_wake_up(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await idle(queue, "w1")
    await queue.submit("one")
    await queue.lease_one("w1")
    assert woken(probe) == []


async def test_delayed_job_wakes_nobody_before_its_time(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await idle(queue, "w1")
    await queue.submit("later", delay_ms=HOUR_MS)
    assert woken(probe) == []
    probe.pass_time(HOUR_MS, "delayed")
    await queue.transitions.promote_delayed()
    assert woken(probe) == ["w1"]


async def test_new_links_wake_helpers(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("crawl", A, max_pages=50)
    lease = await queue.lease_one("w1")
    await idle(queue, "w2", "w3")
    await queue.end("w1", lease, links=[f"{A}1", f"{A}2", f"{A}3"])
    assert woken(probe) == ["w2", "w3"]


async def test_commit_without_new_links_wakes_nobody(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("crawl", A, max_pages=50)
    lease = await queue.lease_one("w1")
    await idle(queue, "w2")
    await queue.end("w1", lease, links=[A])
    assert woken(probe) == []


async def test_links_of_a_paused_job_wake_nobody(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("crawl", A, max_pages=50)
    lease = await queue.lease_one("w1")
    await idle(queue, "w2")
    await queue.transitions.pause_job("crawl")
    await queue.end("w1", lease, links=[f"{A}1"])
    assert woken(probe) == []
    await queue.transitions.resume_job("crawl")
    assert woken(probe) == ["w2"]


async def test_pages_given_back_wake_others(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one")
    lease = await queue.lease_one("w1")
    await idle(queue, "w2")
    await queue.transitions.release_pages("w1", [lease.token])
    assert woken(probe) == ["w2"]


async def test_reclaimed_pages_wake_others_and_not_the_dead(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    await queue.lease_one("w1")
    await idle(queue, "w2", "w3")
    await queue.transitions.reclaim_worker(["w2", "w1"])
    assert woken(probe) == ["w3"]


async def test_free_place_at_a_host_wakes_who_waits_for_it(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", f"{A}1", host_limit=1)
    await queue.submit("two", f"{A}2", host_limit=1)
    lease = await queue.lease_one("w1")
    await idle(queue, "w2")
    await queue.end("w1", lease)
    assert woken(probe) == ["w2"]


async def test_freed_budget_wakes_who_can_use_it(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"], max_pages=2)
    lease = await queue.lease_one("w1")
    await idle(queue, "w2")
    await queue.end("w1", lease, PageOutcome.FAILED)
    assert woken(probe) == ["w2"]


async def test_resumed_queue_wakes_all_idle_workers(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.transitions.pause_queue(True, POOLS)
    await queue.submit("one")
    await idle(queue, "w1", "w2", "w3")
    await queue.transitions.pause_queue(False, POOLS)
    assert woken(probe) == ["w1", "w2", "w3"]


async def test_retried_job_wakes_a_worker(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one")
    await queue.transitions.cancel_job("one")
    await idle(queue, "w1")
    await queue.transitions.retry_job("one")
    assert woken(probe) == ["w1"]


async def test_worker_is_woken_by_a_blocking_pop(queue: QueueDriver) -> None:
    await idle(queue, "w1")
    await queue.submit("one")
    assert await queue.redis.blpop([queue.keys.key("wake:w1")], timeout=5)
