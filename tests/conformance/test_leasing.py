"""Which pages a lease call gives: free slots, jobs held, ahead, spare, helping, pools, pauses."""

from __future__ import annotations

import pytest

from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver, page_commit
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio


def links(count: int, host: str = "a.test") -> list[str]:
    return [f"http://{host}/{number}" for number in range(count)]


async def test_leased_page_carries_what_a_worker_needs(queue: QueueDriver) -> None:
    await queue.submit("crawl", "http://a.test/", max_pages=5, spec='{"the":"spec"}')
    reply = await queue.ask()
    [start] = reply.pages
    assert (start.job_id, start.url, start.depth, start.attempt) == (
        "crawl",
        "http://a.test/",
        0,
        1,
    )
    assert (start.found_on, start.extra, start.is_contended) == ("", "", False)
    assert start.start_at_ms <= reply.now_ms
    [job] = reply.jobs
    assert (job.job_id, job.spec, job.site, job.attempt) == ("crawl", '{"the":"spec"}', "", 1)
    await queue.end("w1", start, links=['http://a.test/1 {"callback":"parse"}'])
    reply = await queue.ask()
    [page] = reply.pages
    assert (page.depth, page.found_on, page.extra) == (1, "http://a.test/", '{"callback":"parse"}')
    assert reply.jobs[0].site == "http://a.test/"


async def test_job_that_the_worker_holds_is_not_described_again(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(4))
    assert [job.job_id for job in (await queue.ask(pages=1)).jobs] == ["crawl"]
    reply = await queue.ask(pages=1, held=["crawl"])
    assert (len(reply.pages), reply.jobs) == (1, [])


async def test_worker_without_free_slot_gets_no_new_job(queue: QueueDriver) -> None:
    await queue.submit("one")
    assert await queue.lease(slots=0) == []


async def test_free_slots_bound_the_jobs_that_a_call_opens(queue: QueueDriver) -> None:
    for number in range(5):
        await queue.submit(f"job-{number}")
    pages = await queue.lease(slots=2)
    assert [page.job_id for page in pages] == ["job-0", "job-1"]


async def test_held_job_needs_no_slot(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(3))
    await queue.submit("one")
    pages = await queue.lease(slots=0, held=["crawl"])
    assert [page.job_id for page in pages] == ["crawl"] * 3


async def test_jobs_are_fetched_ahead_only_when_held_ones_have_no_page(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(1))
    await queue.lease_one()
    for number in range(4):
        await queue.submit(f"job-{number}")
    pages = await queue.lease(slots=0, held=["crawl"], ahead=2)
    assert [page.job_id for page in pages] == ["job-0", "job-1"]


async def test_spare_lets_another_customers_turn_in_beside_held_jobs(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(20), host_limit=32, customer_id="big")
    await queue.submit("small-1", customer_id="small")
    await queue.submit("small-2", customer_id="small")
    without = await queue.lease(slots=0, held=["crawl"], pages=4)
    assert {page.job_id for page in without} == {"crawl"}
    pages = await queue.lease(slots=0, held=["crawl"], spare=1, pages=4)
    assert {page.job_id for page in pages} == {"crawl", "small-1"}


async def test_worker_with_room_helps_an_active_job(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(4), worker="w1")
    await queue.lease_one("w1")
    assert {page.job_id for page in await queue.lease("w2", slots=1)} == {"crawl"}


async def test_waiting_job_of_a_customer_comes_before_helping(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(4), worker="w1")
    await queue.lease_one("w1")
    await queue.submit("later")
    assert (await queue.lease_one("w2", slots=1)).job_id == "later"


async def test_helpers_go_where_fewest_workers_are(queue: QueueDriver) -> None:
    await queue.start_crawl("first", links(9, "f.test"))
    await queue.start_crawl("second", links(9, "s.test"), pool="@second")
    pools = ("full-crawl", "@second")
    await queue.lease_one("w1", slots=0, held=["first"])
    await queue.lease_one("w2", slots=0, held=["first"])
    await queue.lease_one("w3", slots=0, held=["second"], pools=pools)
    assert (await queue.lease_one("w4", slots=1, pools=pools)).job_id == "second"


async def test_worker_of_one_type_never_gets_another(queue: QueueDriver) -> None:
    await queue.submit("crawl", max_pages=5)
    await queue.submit("one")
    assert [it.job_id for it in await queue.lease("w1", pools=["single-page"])] == ["one"]
    assert [it.job_id for it in await queue.lease("w2", pools=["full-crawl"])] == ["crawl"]
    assert await queue.lease("w3", pools=["full-crawl"]) == []


async def test_jobs_of_a_customer_run_first_in_first_out_over_all_types(
    queue: QueueDriver,
) -> None:
    await queue.submit("crawl", max_pages=5)
    await queue.submit("one")
    await queue.submit("another-crawl", max_pages=5)
    order = [(await queue.lease_one()).job_id for _ in range(3)]
    assert order == ["crawl", "one", "another-crawl"]


async def test_bound_job_goes_to_its_own_workers_only(queue: QueueDriver) -> None:
    await queue.submit("mine", pool="@mine")
    await queue.submit("strange")
    assert [it.job_id for it in await queue.lease("w1", pools=POOLS)] == ["strange"]
    assert [it.job_id for it in await queue.lease("w2", pools=["@mine"])] == ["mine"]


async def test_paused_queue_leases_nothing_and_goes_on_where_it_was(queue: QueueDriver) -> None:
    await queue.submit("one")
    assert await queue.transitions.pause_queue(True, POOLS)
    assert not await queue.transitions.pause_queue(True, POOLS)
    assert await queue.lease() == []
    assert await queue.transitions.pause_queue(False, POOLS)
    assert [page.job_id for page in await queue.lease()] == ["one"]


async def test_pages_in_flight_are_committed_while_the_queue_is_paused(queue: QueueDriver) -> None:
    await queue.submit("one")
    lease = await queue.lease_one()
    await queue.transitions.pause_queue(True, POOLS)
    assert await queue.end("w1", lease) == "ok"


async def test_paused_job_gives_no_page_and_its_leases_stay_good(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", links(4))
    lease = await queue.lease_one()
    assert await queue.transitions.pause_job("crawl") == "active"
    reply = await queue.ask(held=["crawl"])
    # Not gone: a worker forgets the leases of a job that is.
    assert (reply.pages, reply.gone) == ([], [])
    assert await queue.end("w1", lease) == "ok"
    assert await queue.transitions.resume_job("crawl") == "active"
    assert len(await queue.lease()) == 3


async def test_gone_tells_of_jobs_that_ended(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", links(4))
    await queue.lease_one()
    await queue.transitions.cancel_job("crawl")
    assert (await queue.ask(held=["crawl", "never-was"])).gone == ["crawl", "never-was"]


async def test_next_due_is_the_next_delayed_work(queue: QueueDriver) -> None:
    await queue.submit("later", delay_ms=5000)
    reply = await queue.ask(lease_ms=HOUR_MS)
    due_ms = await queue.redis.zscore(queue.keys.key("delayed"), "j later")
    assert reply.now_ms < reply.next_due_ms == due_ms


async def test_delayed_job_is_promoted_inside_a_lease_call(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("later", delay_ms=HOUR_MS)
    assert await queue.lease() == []
    probe.pass_time(HOUR_MS, "delayed")
    assert [page.job_id for page in await queue.lease()] == ["later"]


async def test_one_call_gives_pages_of_many_jobs_and_hosts(queue: QueueDriver) -> None:
    for number in range(10):
        await queue.submit(f"job-{number}")
    pages = await queue.lease(pages=16, slots=16)
    assert len({page.job_id for page in pages}) == 10
    await queue.commit("w1", *map(page_commit, pages))


async def test_crawl_over_many_hosts_goes_on_without_a_free_slot(queue: QueueDriver) -> None:
    urls = [f"http://h{number}.test/" for number in range(100)]
    await queue.start_crawl("crawl", urls, max_pages=200)
    for _ in range(100):
        lease = await queue.lease_one(slots=0, held=["crawl"])
        await queue.end("w1", lease)
    assert await queue.lease(slots=0, held=["crawl"]) == []
