"""Limits towards a host hold over all workers; what waits for a host is out of the way."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from scraper.jobs.leases import Pace, PageOutcome, RobotsClaim, Start, StartState
from scraper.jobs.pace import JobPace
from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver, page_commit, submission
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
    assert 0 < reply.next_due_ms - reply.now_ms <= 60_010
    probe.pass_time(60_010, "hosts")
    assert len(await queue.lease("w2")) == 1
    assert await queue.lease("w3") == []


async def test_page_within_the_horizon_is_leased_with_its_start(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1", host_delay_ms=1000)
    await queue.submit("two", f"{SLOW}/2", host_delay_ms=1000)
    first = await queue.lease_one("w1")
    second = await queue.lease_one("w2", horizon_ms=5000)
    assert second.start_at_ms == first.start_at_ms + 1010


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
        now_parked = await queue.redis.zcard(queue.keys.key("parked:slow.test|10000|acme"))
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
    for number in range(6):
        await queue.submit(f"b{number}", f"{SLOW}/{number}")
    first, *_ = await queue.lease("w1", pools=["single-page"])
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


# -- delays --------------------------------------------------------------------------------------


async def test_with_a_delay_pages_up_to_the_limit_are_leased_with_spaced_starts(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    links = [f"{SLOW}/{number}" for number in range(9)]
    await queue.start_crawl("crawl", links, host_limit=3, host_delay_ms=100)
    pages = await queue.lease("w1", horizon_ms=1000)
    assert len(pages) == 3
    starts = [page.start_at_ms for page in pages]
    # What a worker may be late by comes on top, so that no gap is shorter.
    assert [start - starts[0] for start in starts] == [0, 110, 220]
    assert {page.host_delay_ms for page in pages} == {100}
    assert await queue.lease("w2", horizon_ms=1000) == []
    await queue.end("w1", pages[0])
    probe.pass_time(330, "hosts")
    assert len(await queue.lease("w2", horizon_ms=1000)) == 1


async def test_no_page_is_leased_whose_start_lies_beyond_the_horizon(queue: QueueDriver) -> None:
    links = [f"{SLOW}/{number}" for number in range(9)]
    await queue.start_crawl("crawl", links, host_limit=9, host_delay_ms=100)
    reply = await queue.ask("w1", horizon_ms=250)
    assert 0 < len(reply.pages) <= 3
    assert max(page.start_at_ms for page in reply.pages) <= reply.now_ms + 250


@pytest.mark.parametrize(
    ("pace", "delay_ms"), [(Pace.NORMAL, 5000), (Pace.TURBO, 5000), (Pace.OWN, 0)]
)
async def test_crawl_delay_binds_all_jobs_but_those_of_the_sites_owner(
    queue: QueueDriver, pace: Pace, delay_ms: int
) -> None:
    await queue.transitions.store_robots("http://slow.test", "slow.test", b"x", HOUR_MS, 5000)
    links = [f"{SLOW}/{number}" for number in range(3)]
    await queue.submit("crawl", f"{SLOW}/", max_pages=9, pace=pace)
    first = await queue.lease_one(horizon_ms=11_000)
    assert first.host_delay_ms == delay_ms
    await queue.end("w1", first, links=links)
    pages = await queue.lease(horizon_ms=11_000)
    # The fetch of the file was a start, too.
    assert len(pages) == (1 if delay_ms else 3)


async def test_crawl_delay_outlives_the_hosts_last_fetch(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1")
    lease = await queue.lease_one()
    await queue.transitions.store_robots("http://slow.test", "slow.test", b"x", HOUR_MS, 5000)
    await queue.end("w1", lease)
    assert await queue.redis.hget(queue.keys.key("host:slow.test"), "crawl_delay") == b"5000"
    await queue.submit("two", f"{SLOW}/2")
    assert await queue.lease() == []


@pytest.mark.parametrize(("of_https_ms", "counts_ms"), [(0, 5000), (2000, 5000), (9000, 9000)])
async def test_http_and_https_of_a_host_share_the_longer_crawl_delay(
    queue: QueueDriver, of_https_ms: int, counts_ms: int
) -> None:
    for scheme, delay_ms in (("http", 5000), ("https", of_https_ms)):
        await queue.transitions.store_robots(
            f"{scheme}://slow.test", "slow.test", b"x", HOUR_MS, delay_ms
        )
    await queue.submit("one", f"{SLOW}/1")
    lease = await queue.lease_one(horizon_ms=11_000)
    assert lease.host_delay_ms == counts_ms


async def test_shorter_crawl_delay_of_the_same_file_counts(queue: QueueDriver) -> None:
    for delay_ms in (5000, 1000):
        await queue.transitions.store_robots(
            "http://slow.test", "slow.test", b"x", HOUR_MS, delay_ms
        )
    await queue.submit("one", f"{SLOW}/1")
    assert (await queue.lease_one(horizon_ms=11_000)).host_delay_ms == 1000


async def test_redirects_target_takes_a_start_between_the_pages(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1", host_delay_ms=1000)
    await queue.submit("two", f"{SLOW}/2", host_delay_ms=1000)
    first = await queue.lease_one("w1")
    hop = await queue.transitions.take_start("w1", first.token, 1, f"{SLOW}/elsewhere")
    second = await queue.lease_one("w2", horizon_ms=5000)
    assert (hop.state, hop.delay_ms) == (StartState.START, 1000)
    assert hop.at_ms == first.start_at_ms + 1010
    assert second.start_at_ms == first.start_at_ms + 2020


async def test_redirects_target_on_a_host_without_delay_starts_at_once(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1")
    lease = await queue.lease_one()
    for number in range(3):
        start = await queue.transitions.take_start("w1", lease.token, number, "http://b.test/")
        assert start == Start(StartState.START, 0, 0)


async def test_no_start_is_taken_at_a_host_that_rests_or_for_a_lost_lease(
    queue: QueueDriver,
) -> None:
    await queue.submit("one", f"{SLOW}/1")
    await queue.submit("other", "http://b.test/")
    leases = {page.job_id: page for page in await queue.lease("w1")}
    await queue.end("w1", leases["one"], PageOutcome.FAILED, host_pause_ms=60_000)
    start = await queue.transitions.take_start("w1", leases["other"].token, 1, f"{SLOW}/2")
    assert start.state is StartState.RESTS
    assert start.at_ms > leases["other"].start_at_ms + 59_000
    lost = await queue.transitions.take_start("w1", leases["one"].token, 1, "http://b.test/2")
    assert lost.state is StartState.LOST


async def test_ended_claim_of_a_robots_file_is_free_for_the_next(queue: QueueDriver) -> None:
    def claim(worker: str, claim_ms: int = HOUR_MS) -> Awaitable[RobotsClaim]:
        return queue.transitions.claim_robots("http://a.test", worker, claim_ms)

    assert (await claim("w1")).is_ours
    assert not (await claim("w2", 0)).is_ours
    assert not (await claim("w2")).is_ours
    await claim("w1", 0)
    assert (await claim("w2")).is_ours


async def test_delay_of_a_slow_host_rises_at_once_and_falls_page_by_page(
    queue: QueueDriver,
) -> None:
    links = [f"{SLOW}/{number}" for number in range(40)]
    await queue.start_crawl("crawl", links, max_pages=99)
    delays = []
    for strain in (2000, 1000, *[-1] * 30):
        page = await queue.lease_one(horizon_ms=HOUR_MS)
        delays.append(page.host_delay_ms)
        assert page.host_strain_ms == page.host_delay_ms
        await queue.end("w1", page, host_strain_ms=strain)
    assert delays[:5] == [0, 2000, 1500, 750, 375]
    assert delays == [0, *sorted(delays[1:], reverse=True)]
    assert delays[-1] == 0


async def test_turbo_jobs_are_spared_the_delay_of_a_slow_host(queue: QueueDriver) -> None:
    await queue.submit("one", f"{SLOW}/1")
    await queue.end("w1", await queue.lease_one(), host_strain_ms=60_000)
    await queue.submit("polite", f"{SLOW}/2")
    await queue.submit("turbo", f"{SLOW}/3", pace=Pace.TURBO)
    await queue.submit("turbo-too", f"{SLOW}/4", pace=Pace.TURBO)
    pages = await queue.lease()
    assert {page.job_id: page.host_delay_ms for page in pages} == {
        "polite": 60_000, "turbo": 0, "turbo-too": 0,
    }  # fmt: skip


async def test_host_that_sends_us_away_rests_twice_as_long_each_time(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    links = [f"{SLOW}/{number}" for number in range(20)]
    await queue.start_crawl("crawl", links, max_pages=99)
    rests = []
    for _ in range(4):
        pages = await queue.lease(pages=2)
        for page in pages:  # two fetches that were in flight at once count as one time
            await queue.end("w1", page, PageOutcome.FAILED, host_pause_ms=-1000)
        reply = await queue.ask()
        assert reply.pages == []
        until = int(await queue.redis.hget(queue.keys.key("host:slow.test"), "paused_until"))
        rests.append(round((until - reply.now_ms) / 1000))
        probe.pass_time(until - reply.now_ms + 1, "hosts")
    assert rests == [1, 2, 4, 8]
    page = await queue.lease_one()
    assert page.host_strain_ms > 0
    await queue.end("w1", page, host_strain_ms=-1)
    page = await queue.lease_one()
    await queue.end("w1", page, PageOutcome.FAILED, host_pause_ms=-1000)
    until = int(await queue.redis.hget(queue.keys.key("host:slow.test"), "paused_until"))
    assert until - (await queue.ask()).now_ms <= 1000


# -- what holds a job up ---------------------------------------------------------------------------


async def test_pace_of_a_job_says_what_holds_it_up(queue: QueueDriver) -> None:
    async def reason() -> str:
        pace = JobPace.from_json(await queue.transitions.job_pace("crawl"))
        assert bool(pace.reason) == bool(pace.held_up_by)
        return pace.reason

    links = [f"{SLOW}/{number}" for number in range(20)]
    await queue.start_crawl("crawl", links, max_pages=99, host_limit=1)
    assert await reason() == ""
    page = await queue.lease_one()
    assert await reason() == "host_limit"
    await queue.end("w1", page, host_strain_ms=3000)
    assert await reason() == "slow_host"
    await queue.transitions.store_robots("http://slow.test", "slow.test", b"x", HOUR_MS, 20_000)
    assert await reason() == "crawl_delay"
    await queue.end("w1", await queue.lease_one(horizon_ms=HOUR_MS), host_pause_ms=5000,
                    outcome=PageOutcome.FAILED)  # fmt: skip
    assert await reason() == "host_pause"


async def test_pace_says_when_it_is_other_customers_turn(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", [f"{SLOW}/1"], customer_id="a")
    await queue.submit("other", "http://other.test/", customer_id="b")
    pace = JobPace.from_json(await queue.transitions.job_pace("crawl"))
    assert pace.reason == "turn"


async def test_eta_of_a_delayed_job_is_its_pages_times_the_delay(queue: QueueDriver) -> None:
    await queue.transitions.store_robots("http://slow.test", "slow.test", b"x", HOUR_MS, 10_000)
    links = [f"{SLOW}/{number}" for number in range(20)]
    await queue.submit("crawl", f"{SLOW}/", max_pages=99)
    await queue.end("w1", await queue.lease_one(horizon_ms=HOUR_MS), links=links)
    pace = JobPace.from_json(await queue.transitions.job_pace("crawl"))
    assert pace.eta_ms == 20 * 10_000


async def test_pace_says_that_no_worker_runs_and_that_the_queue_is_paused(
    queue: QueueDriver,
) -> None:
    async def reason(job_id: str) -> str:
        return JobPace.from_json(await queue.transitions.job_pace(job_id)).reason

    await queue.submit("one")
    await queue.submit("bound", pool="@bound")
    assert await reason("one") == "no_worker"
    assert await reason("bound") == ""  # its workers come with it
    await queue.transitions.pause_queue(True, POOLS)
    assert await reason("one") == await reason("bound") == "queue_paused"
    await queue.transitions.pause_queue(False, POOLS)
    await queue.lease_one()
    assert await reason("one") == ""


async def test_eta_at_a_slow_host_is_by_what_it_let_through_of_late(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", [f"{SLOW}/{number}" for number in range(20)], max_pages=99)
    await queue.end("w1", await queue.lease_one(), host_strain_ms=4000)
    await queue.redis.hset(queue.keys.job("crawl"), "rate", "0")
    pace = JobPace.from_json(await queue.transitions.job_pace("crawl"))
    assert (pace.reason, pace.eta_ms) == ("slow_host", 19 * 4000)
    await queue.redis.hset(queue.keys.job("crawl"), "rate", "10")
    pace = JobPace.from_json(await queue.transitions.job_pace("crawl"))
    assert (pace.reason, pace.eta_ms) == ("slow_host", 1900)


async def test_ended_and_unknown_jobs_have_no_pace(queue: QueueDriver) -> None:
    await queue.submit("one")
    await queue.end("w1", await queue.lease_one())
    assert await queue.transitions.job_pace("one") == ""
    assert await queue.transitions.job_pace("never") == ""
