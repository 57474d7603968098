"""Jobs with different limits on one host: each has its turns, the host no more than the widest."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

import pytest

from scraper.jobs.leases import LeasedPage, Pace, PageOutcome, WorkerDeath
from tests.support.queue_driver import HOUR_MS, QueueDriver, submission
from tests.support.queue_invariants import faults
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

HOST = "big.test"
TURBO_LINKS = [f"http://{HOST}/turbo/{number}" for number in range(300)]
NORMAL_LINKS = [f"http://{HOST}/normal/{number}" for number in range(19)]
WORKERS = ("w1", "w2")


class Fleet:
    """Two workers who end their pages in the order in which these were granted, one at a time.

    They ask for more than they can get, or (`is_frugal`) for no more than they ended: then the lane
    of which they get it stays ready, and is not parked under its host.
    """

    def __init__(self, queue: QueueDriver, is_frugal: bool = False) -> None:
        self.queue = queue
        self.is_frugal = is_frugal
        self.in_flight: deque[tuple[str, LeasedPage]] = deque()
        self.ended: list[str] = []

    def held(self, job_id: str) -> int:
        return sum(page.job_id == job_id for _, page in self.in_flight)

    async def lease(self) -> None:
        for worker in WORKERS:
            wanted = 16 - len(self.in_flight) if self.is_frugal else 16
            if wanted:
                pages = await self.queue.lease(worker, pages=wanted)
                self.in_flight += [(worker, page) for page in pages]

    async def end_one(self) -> None:
        """End the oldest page, then both ask for more. The start page of `normal` has its links."""
        worker, page = self.in_flight.popleft()
        links = NORMAL_LINKS if page.url == f"http://{HOST}/normal" else ()
        await self.queue.end(worker, page, links=links)
        self.ended.append(page.job_id)
        await self.lease()

    async def open(self, job_id: str, links: Sequence[str]) -> None:
        """Go on until the job's start page has ended, with these links."""
        await self.run_until(lambda: self.held(job_id) > 0, 60)
        while self.held(job_id):
            worker, page = self.in_flight.popleft()
            await self.queue.end(worker, page, links=links if page.job_id == job_id else ())
        await self.lease()

    async def run_until(self, done: Callable[[], bool], most: int) -> None:
        for _ in range(most):
            if done():
                return
            await self.end_one()
        assert done(), f"not after {most} pages: {Counter(self.ended)}"


async def start_turbo(queue: QueueDriver, is_frugal: bool = False) -> Fleet:
    await queue.start_crawl(
        "turbo", TURBO_LINKS, start_url=f"http://{HOST}/turbo", customer_id="turbo", host_limit=16,
        pace=Pace.TURBO, max_pages=1000,
    )  # fmt: skip
    fleet = Fleet(queue, is_frugal)
    await fleet.lease()
    assert fleet.held("turbo") == 16
    return fleet


@pytest.mark.parametrize("is_frugal", [False, True])
async def test_normal_job_gets_its_turns_beside_a_turbo_job_on_the_same_host(
    queue: QueueDriver, probe: QueueProbe, is_frugal: bool
) -> None:
    fleet = await start_turbo(queue, is_frugal)
    await queue.submit("normal", f"http://{HOST}/normal", max_pages=20, customer_id="normal")
    seen: list[tuple[int, int]] = []

    def is_done() -> bool:
        seen.append((fleet.held("turbo"), fleet.held("normal")))
        return fleet.ended.count("normal") == 20

    await fleet.run_until(is_done, len(TURBO_LINKS))
    # Sixteen pages were in flight before it, and it has a quarter of what ends from then on; its
    # start page alone goes round once.
    assert fleet.ended.index("normal") <= 16
    assert len(fleet.ended) <= 2 * 17 + 19 * 4 + 4
    assert {turbo + normal for turbo, normal in seen} == {16}
    assert max(normal for _, normal in seen) == 4
    assert faults(probe.snapshot()) == []
    await fleet.run_until(lambda: not fleet.in_flight, len(TURBO_LINKS) + 1)
    assert Counter(fleet.ended) == {"turbo": len(TURBO_LINKS), "normal": 20}
    assert f"host:{HOST}" not in probe.snapshot().own


async def test_narrow_jobs_that_wait_do_not_hold_back_a_wide_one(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    fleet = await start_turbo(queue)
    await queue.submit_many(
        [
            submission(f"one-{it}", f"http://{HOST}/one/{it}", customer_id=f"customer-{it}")
            for it in range(200)
        ]
    )
    for _ in range(100):
        await fleet.end_one()
        assert len(fleet.in_flight) == 16
        assert fleet.held("turbo") >= 12
    narrow = len(fleet.ended) - fleet.ended.count("turbo")
    assert narrow >= (100 - 16) * 4 // 16 - 4
    assert faults(probe.snapshot()) == []


async def test_wide_job_gets_its_turns_after_narrow_ones(queue: QueueDriver) -> None:
    await queue.submit_many(
        [
            submission(f"one-{it}", f"http://{HOST}/one/{it}", customer_id=f"customer-{it}")
            for it in range(200)
        ]
    )
    fleet = Fleet(queue)
    await fleet.lease()
    assert len(fleet.in_flight) == 4
    links = TURBO_LINKS[:100]
    await queue.submit("turbo", f"http://{HOST}/turbo", host_limit=16, max_pages=1000)
    await fleet.open("turbo", links)
    await fleet.run_until(lambda: fleet.held("turbo") == 12, 16)
    assert len(fleet.in_flight) == 16


async def test_narrow_jobs_share_their_limit_whatever_a_wide_one_has(queue: QueueDriver) -> None:
    fleet = await start_turbo(queue)
    for limit in (1, 3, 4):
        links = [f"http://{HOST}/{limit}/{it}" for it in range(30)]
        await queue.submit(
            f"limit-{limit}", f"http://{HOST}/{limit}", host_limit=limit, customer_id=f"c{limit}",
            max_pages=31,
        )  # fmt: skip
        await fleet.open(f"limit-{limit}", links)
    most: Counter[str] = Counter()
    for _ in range(120):
        await fleet.end_one()
        held = Counter(page.job_id for _, page in fleet.in_flight)
        most |= held
        assert held["limit-1"] <= 1
        assert held["limit-1"] + held["limit-3"] <= 3
        assert held["limit-1"] + held["limit-3"] + held["limit-4"] <= 4
        assert held["turbo"] >= 12
    assert all(most[f"limit-{limit}"] for limit in (1, 3, 4))


async def test_without_a_wide_job_in_flight_narrow_limits_hold(queue: QueueDriver) -> None:
    fleet = await start_turbo(queue)
    await queue.submit("normal", f"http://{HOST}/normal", max_pages=20, customer_id="normal")
    await fleet.run_until(lambda: fleet.held("normal") == 4, 60)
    await queue.transitions.cancel_job("turbo")
    fleet.in_flight = deque(it for it in fleet.in_flight if it[1].job_id == "normal")
    await fleet.lease()
    assert len(fleet.in_flight) == 4
    await queue.submit("polite", f"http://{HOST}/p", host_limit=1, customer_id="polite")
    await fleet.end_one()
    assert len(fleet.in_flight) == 4


async def test_delay_of_a_narrow_job_does_not_hold_back_a_turbo_job(queue: QueueDriver) -> None:
    fleet = await start_turbo(queue)
    await queue.submit(
        "polite", f"http://{HOST}/p", host_limit=1, host_delay_ms=HOUR_MS, customer_id="polite"
    )
    await fleet.run_until(lambda: fleet.held("polite") == 1, 20)
    for _ in range(40):
        await fleet.end_one()
        assert fleet.held("turbo") >= 15


@pytest.mark.parametrize("end", ["release", "reclaim", "bury", "fail", "expire", "cancel"])
async def test_place_of_a_fetch_is_free_however_it_ended(
    queue: QueueDriver, probe: QueueProbe, end: str
) -> None:
    fleet = await start_turbo(queue)
    await queue.submit("normal", f"http://{HOST}/normal", customer_id="normal")
    await queue.submit("other", f"http://{HOST}/other", customer_id="other")
    worker, page = fleet.in_flight.popleft()
    if end == "release":
        await queue.transitions.release_pages(worker, [page.token])
    elif end == "reclaim":
        await queue.transitions.reclaim_worker([worker])
    elif end == "expire":
        probe.pass_time(2 * HOUR_MS, "workers")
        await queue.transitions.reclaim_expired()
    elif end == "cancel":
        await queue.transitions.cancel_job("turbo")
    elif end == "bury":
        await queue.transitions.bury_worker(WorkerDeath(worker, "{}", [page.token]))
    else:
        await queue.end(worker, page, PageOutcome.FAILED)
    assert faults(probe.snapshot()) == []
    assert "normal" in {page.job_id for page in await queue.lease("w3")}
