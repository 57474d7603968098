"""Suspects are handed out before other pages, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from benchmarks.workers.memory_frontier import MemoryFrontier
from scraper.jobs import parse_job
from scraper.jobs.leases import LeasedJob, LeasedPage, LeaseReply
from scraper.jobs.measures import Measures
from scraper.leasing import LeaseKeeper, LeaseLimits

SPEC = parse_job(
    {"type": "full-crawl", "url": "http://a.test/", "maxPages": 9}, job_types=("full-crawl",)
).to_json()


def page(
    name: str, job: str = "j", start_at_ms: int = 0, *, is_suspect: bool = False
) -> LeasedPage:
    return LeasedPage(
        f"t{name}", job, f"http://a.test/{name}", 1, 1, "", start_at_ms, False, "", is_suspect
    )


def suspect(name: str, job: str = "j", start_at_ms: int = 0) -> LeasedPage:
    return page(name)._replace(job_id=job, start_at_ms=start_at_ms, is_suspect=True)


class Keeping:
    """A keeper that was given these pages."""

    def __init__(self) -> None:
        self.calls = 0
        frontier = MemoryFrontier("j", SPEC, "http://a.test/", 9)
        limits = LeaseLimits(pages=4, jobs=2, lease_ms=60_000)
        self.keeper = LeaseKeeper(
            frontier, "w", ["full-crawl"], limits, self._more, lambda: None, Measures()
        )

    def _more(self) -> None:
        self.calls += 1

    async def admit(self, *pages: LeasedPage) -> None:
        jobs = [LeasedJob(job, SPEC, "", 1, "acme") for job in sorted({it.job_id for it in pages})]
        await self.keeper._admit(LeaseReply(0, 0, list(pages), jobs, []))

    def pop(self) -> str | None:
        popped = self.keeper.pop()
        return popped.token if popped else None


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def test_a_suspect_goes_first_and_its_like_one_at_a_time() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(page("1"), page("2"))
        assert it.pop() == "t1"
        await it.admit(first := suspect("a"), suspect("b"), page("3"))
        assert [it.pop(), it.pop(), it.pop(), it.pop()] == ["ta", "t2", "t3", None]
        it.calls = 0
        it.keeper.was_fetched(page("1"))
        assert (it.calls, it.pop()) == (0, None)
        it.keeper.was_fetched(first)
        assert (it.calls, it.pop()) == (1, "tb")

    run(body())


def test_a_suspect_that_came_too_late_lets_the_next_one_go() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(first := suspect("a"), suspect("b"))
        assert [it.pop(), it.pop()] == ["ta", None]
        it.keeper.release_late(first)
        assert it.pop() == "tb"

    run(body())


def test_a_suspect_waits_for_one_of_the_jobs_in_flight_where_they_are_all_that_may_be() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(page("1"), page("2"), page("k1", "k"), page("k2", "k"))
        assert [it.pop(), it.pop(), it.pop()] == ["t1", "t2", "tk1"]
        await it.admit(page("3"), suspect("s", "l"))
        assert [it.pop(), it.pop(), it.pop()] == ["tk2", "t3", None]
        await it.admit(page("4"), page("5"), page("k3", "k"))
        assert it.pop() == "t4", "the first of the two goes on"
        it.keeper.was_fetched(page("k1", "k"))
        it.keeper.was_fetched(page("k2", "k"))
        assert it.pop() == "ts"

    run(body())


def test_a_suspect_whose_host_is_not_due_keeps_nobody_waiting() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(suspect("s", start_at_ms=60_000), page("1"), page("2"))
        assert [it.pop(), it.pop(), it.pop()] == ["t1", "t2", None]

    run(body())


def test_suspects_are_given_back_with_all_else() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(suspect("s"), page("1"), suspect("k", "k"))
        assert it.keeper.buffered == 3
        assert it.keeper.drop_jobs(["j"]) == ["ts", "t1"]
        assert it.keeper.held_jobs == ["k"]
        assert it.keeper.drop_all() == ["tk"]
        assert (it.keeper.buffered, it.pop()) == (0, None)

    run(body())
