"""Leases given back, extended, and taken from dead workers: at once, uncharged, once."""

from __future__ import annotations

import pytest

from scraper.jobs.reading import Reader
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit
from tests.support.queue_snapshot import QueueProbe

pytestmark = [pytest.mark.anyio, pytest.mark.every_server]

LINKS = [f"http://a.test/{number}" for number in range(4)]


async def test_released_page_comes_back_in_front_and_uncharged(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", LINKS)
    first = await queue.lease_one("w1")
    assert await queue.transitions.release_pages("w1", [first.token, "999", first.token]) == 1
    again = await queue.lease_one("w2")
    assert (again.url, again.attempt) == (first.url, 1)
    assert again.token != first.token


async def test_reclaim_takes_back_all_that_a_dead_worker_holds(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    await queue.submit("one")
    held = await queue.lease("w1")
    assert await queue.transitions.reclaim_worker(["w1", "never-was"]) == len(held) == 5
    assert await queue.transitions.reclaim_worker(["w1"]) == 0
    again = await queue.lease("w2")
    assert {(it.url, it.attempt) for it in again} == {(it.url, 1) for it in held}
    assert set(probe.snapshot().get("workers")) == {"w2"}


async def test_reclaim_of_one_incarnation_leaves_the_next_alone(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", LINKS)
    await queue.lease("s/worker-1#1", pages=2)
    mine = await queue.lease("s/worker-1#2", pages=2)
    assert await queue.transitions.reclaim_worker(["s/worker-1#1"]) == 2
    assert await queue.commit("s/worker-1#2", *map(page_commit, mine)) == ["ok", "ok"]


async def test_leases_of_a_silent_worker_come_back_when_their_time_is_over(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    await queue.lease("w1", lease_ms=60_000)
    probe.pass_time(59_000, "workers")
    assert await queue.transitions.reclaim_expired() == 0
    probe.pass_time(1000, "workers")
    assert await queue.transitions.reclaim_expired() == 4


async def test_lease_call_of_another_worker_takes_expired_leases_over(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    await queue.lease_one("w1", lease_ms=60_000)
    assert await queue.lease("w2") == []
    probe.pass_time(60_000, "workers")
    assert [it.job_id for it in await queue.lease("w2")] == ["one"]


async def test_extended_leases_do_not_expire(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", LINKS)
    lease = await queue.lease_one("w1", lease_ms=60_000)
    probe.pass_time(59_000, "workers")
    assert (await queue.transitions.extend_leases("w1", 60_000, [])).is_known
    probe.pass_time(59_000, "workers")
    assert await queue.transitions.reclaim_expired() == 0
    assert await queue.end("w1", lease) == "ok"


async def test_worker_that_was_given_up_learns_it_and_is_not_revived(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    await queue.lease_one("w1")
    await queue.transitions.reclaim_worker(["w1"])
    assert not (await queue.transitions.extend_leases("w1", HOUR_MS, ["one"])).is_known
    assert probe.snapshot().get("workers") is None


async def test_extension_names_the_held_jobs_that_are_gone(queue: QueueDriver) -> None:
    for name in ("done", "cancelled", "paused", "going"):
        await queue.submit(name)
    leases = {it.job_id: it for it in await queue.lease()}
    await queue.end("w1", leases["done"])
    await queue.transitions.cancel_job("cancelled")
    await queue.transitions.pause_job("paused")
    reply = await queue.transitions.extend_leases("w1", HOUR_MS, [*leases, "never-was"])
    assert reply.is_known
    assert reply.gone == ["done", "cancelled", "never-was"]


async def test_lease_whose_commit_the_server_forgot_is_given_back_uncharged(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", ["http://a.test/b", "http://a.test/c"])
    known, forgotten = await queue.lease()
    assert await queue.transitions.keep_leases("w1", [known.token, "no-such-token"]) == 1
    assert await queue.end("w1", forgotten) == "lost"
    again = await queue.lease_one("w2")
    assert (again.url, again.attempt) == (forgotten.url, 1)
    assert await queue.end("w1", known) == "ok"


async def test_death_of_every_worker_in_turn_loses_and_doubles_nothing(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"http://a.test/{it}" for it in range(60)], host_limit=32)
    for number in range(12):
        worker = f"w{number}"
        pages = await queue.lease(worker)
        await queue.commit(worker, *map(page_commit, pages[:5]))
        await queue.transitions.reclaim_worker([worker])
        assert await queue.commit(worker, *map(page_commit, pages)) == ["lost"] * len(pages)
    job = probe.snapshot().jobs["crawl"]
    assert (job.state, job.number("done"), job.number("fetches")) == ("completed", 61, 61)


async def test_what_a_worker_holds_can_be_read(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", LINKS[:2])
    await queue.submit("one")
    held = await queue.lease("w1")
    reader = Reader(queue.redis, queue.keys.queue)
    assert await reader.leases("w1") == {it.token: (it.job_id, it.url) for it in held}
    in_hand = await reader.jobs_in_hand(["w1", "never-was"])
    assert {it: sorted(jobs) for it, jobs in in_hand.items()} == {
        "w1": ["crawl", "crawl", "one"], "never-was": [],
    }  # fmt: skip
