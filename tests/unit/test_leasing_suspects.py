"""A worker handles a suspect alone: nothing is in flight beside it."""

from __future__ import annotations

import asyncio
import dataclasses
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
    return dataclasses.replace(page(name), job_id=job, start_at_ms=start_at_ms, is_suspect=True)


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
        return popped and popped.token


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def test_a_suspect_waits_until_nothing_is_in_flight_and_then_goes_alone() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(page("1"), page("2"))
        assert it.pop() == "t1"
        await it.admit(suspect("s"), page("3"))
        assert it.pop() is None
        it.calls = 0
        it.keeper.done("j")
        assert it.calls == 1
        assert it.pop() == "ts"
        assert it.pop() is None
        it.keeper.done("j")
        assert [it.pop(), it.pop(), it.pop()] == ["t2", "t3", None]

    run(body())


def test_suspects_of_several_jobs_go_one_after_another() -> None:
    async def body() -> None:
        it = Keeping()
        await it.admit(suspect("a", "j"), suspect("b", "k"))
        assert [it.pop(), it.pop()] == ["ta", None]
        it.keeper.done("j")
        assert [it.pop(), it.pop()] == ["tb", None]
        assert it.keeper.held_jobs == ["k"]

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
