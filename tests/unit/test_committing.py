"""Commits are gathered while nobody waits for them, and go at once when somebody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from benchmarks.workers.memory_frontier import MemoryFrontier
from scraper.committing import (
    BATCH_PAGES,
    BATCH_WAIT_S,
    FAST_PAGES,
    PATIENT_WAIT_S,
    Committer,
)
from scraper.job_run import JobRun
from scraper.jobs import parse_job
from scraper.jobs.leases import CommitOutcome, LeasedJob, LeasedPage, PageCommit, PageOutcome
from scraper.lineage import PageWork

URL = "http://a.test/"


def spec_of(max_pages: int) -> str:
    job = {"type": "full-crawl", "url": URL, "maxPages": max_pages}
    return parse_job(job, job_types=("full-crawl",)).to_json()


class Batches(MemoryFrontier):
    """Keeps how many pages came with each commit; answers when `may_answer` is set."""

    def __init__(self) -> None:
        super().__init__("j", spec_of(999), URL, 999)
        self.sizes: list[int] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def commit_pages(
        self, worker: str, memory: str, pages: Sequence[PageCommit]
    ) -> list[CommitOutcome]:
        self.sizes.append(len(pages))
        await self.may_answer.wait()
        return [CommitOutcome.OK for _ in pages]


class Committing:
    def __init__(self) -> None:
        self.is_idle = self.is_short = False
        self.frontier = Batches()
        self.committer = Committer(
            self.frontier, "w", lambda: "{}", lambda: self.is_idle, lambda: self.is_short,
            lambda work, outcome: None, 1 << 20, lambda: None,
        )  # fmt: skip

    def add(self, pages: int, max_pages: int = 999) -> None:
        run = JobRun(LeasedJob("j", spec_of(max_pages), "", 1, "acme"))
        for _ in range(pages):
            lease = LeasedPage("t", "j", URL, 1, 1, "", 0, False, "")
            commit = PageCommit("t", PageOutcome.DONE, URL, b"{}")
            self.committer.add(PageWork(lease, run), commit)

    async def through(self) -> float:
        """Until all is committed by itself; how long that took, in s."""
        began = time.monotonic()
        async with asyncio.timeout(10):
            await self.committer._empty.wait()
        return time.monotonic() - began


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


async def committing(it: Committing) -> asyncio.Task[None]:
    task = asyncio.create_task(it.committer.run())
    await asyncio.sleep(0)
    return task


def test_pages_of_a_long_job_are_gathered_where_they_come_fast() -> None:
    async def body() -> None:
        it = Committing()
        task = await committing(it)
        it.add(FAST_PAGES)
        assert await it.through() >= 0.9 * PATIENT_WAIT_S
        # Less is gained than risked.
        it.add(FAST_PAGES - 1)
        timer = it.committer._timer
        assert timer is not None
        assert timer.when() <= asyncio.get_running_loop().time() + BATCH_WAIT_S
        it.committer._send_or_gather()
        assert it.committer._due.is_set()
        await it.through()
        assert it.frontier.sizes == [FAST_PAGES, FAST_PAGES - 1]
        task.cancel()

    run(body())


def test_who_waits_is_not_kept_waiting() -> None:
    async def body() -> None:
        for change in ("idle", "full"):
            it = Committing()
            task = await committing(it)
            it.is_idle = change == "idle"
            it.add(1 if it.is_idle else BATCH_PAGES)
            assert it.committer._due.is_set(), change
            await it.through()
            task.cancel()
        for change in ("short", "single page"):
            it = Committing()
            task = await committing(it)
            it.add(1)
            it.is_short = change == "short"
            it.add(1, max_pages=1 if change == "single page" else 999)
            timer = it.committer._timer
            assert timer is not None
            assert timer.when() <= asyncio.get_running_loop().time() + BATCH_WAIT_S, change
            await it.through()
            assert it.frontier.sizes == [2], change
            task.cancel()

    run(body())


def test_what_comes_while_a_commit_is_under_way_is_gathered_anew() -> None:
    async def body() -> None:
        it = Committing()
        task = await committing(it)
        it.frontier.may_answer.clear()
        it.add(BATCH_PAGES)
        async with asyncio.timeout(10):
            while not it.frontier.sizes:
                await asyncio.sleep(0)
        it.add(5)
        assert not it.committer._due.is_set()
        it.frontier.may_answer.set()
        await it.through()
        assert it.frontier.sizes == [BATCH_PAGES, 5]
        task.cancel()

    run(body())
