"""Workers on connections of their own, all at once, while somebody pauses, kills and retries."""

from __future__ import annotations

import asyncio
import random

import pytest

from scraper.jobs.leases import LeasedPage, PageCommit, PageOutcome
from tests.support.queue_driver import POOLS, QueueDriver, page_commit, strict_client
from tests.support.queue_invariants import FINAL, faults
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

WORKERS = [f"w{number}" for number in range(4)]
JOBS = {"small": 5, "middle": 40, "large": 500}
# A page in three is not recorded: of too few, the large job would find no 500 that are.
SITE = [f"http://{host}.test/{page}" for host in "abc" for page in range(600)]
DEADLINE_S = 90.0


def some_end(rng: random.Random, lease: LeasedPage) -> PageCommit:
    links = rng.sample(SITE, 8)
    if lease.depth == 0 or rng.random() < 0.6:
        url = rng.choice(SITE) if lease.depth and rng.random() < 0.2 else lease.url
        return page_commit(lease, url=url, links=links)
    outcome = rng.choice([PageOutcome.FAILED, PageOutcome.SKIPPED, PageOutcome.RETRY])
    if outcome is PageOutcome.RETRY and lease.attempt >= 3:
        outcome = PageOutcome.FAILED
    return page_commit(lease, outcome, retry_delay_ms=rng.choice([0, 2]))


async def work(queue: QueueDriver, worker: str, rng: random.Random, ended: asyncio.Event) -> None:
    last: list[PageCommit] = []
    while not ended.is_set():
        pages = await queue.lease(worker, pages=rng.choice([1, 4, 16]), slots=4)
        commits = [some_end(rng, page) for page in pages]
        if rng.random() < 0.05:
            await queue.transitions.reclaim_worker([worker])
        elif pages and rng.random() < 0.2:
            await queue.transitions.release_pages(worker, [page.token for page in pages[:2]])
        if commits:
            await queue.commit(worker, *commits, *last)
        last = commits[:1]


async def disturb(queue: QueueDriver, rng: random.Random, ended: asyncio.Event) -> None:
    while not ended.is_set():
        job = rng.choice(list(JOBS))
        act = rng.randrange(4)
        if act == 0:
            await queue.transitions.pause_job(job)
        elif act == 1:
            await queue.transitions.reclaim_worker([rng.choice(WORKERS)])
        elif act == 2:
            await queue.transitions.pause_queue(True, POOLS)
        else:
            await queue.transitions.extend_leases(rng.choice(WORKERS), 60_000, [job])
        await asyncio.sleep(0)
        await queue.transitions.pause_queue(False, POOLS)
        await queue.transitions.resume_job(job)


async def watch(probe: QueueProbe, ended: asyncio.Event) -> None:
    """Judge the queue all the while; end when all jobs have ended."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + DEADLINE_S
    try:
        while True:
            snapshot = await asyncio.to_thread(probe.snapshot)
            found = faults(snapshot)
            assert not found, found
            if all(job.state in FINAL for job in snapshot.jobs.values()):
                return
            assert loop.time() < deadline_s, {job.id: job.fields for job in snapshot.jobs.values()}
    finally:
        # A cancelled call may swallow that it was (asyncio.wait_for of Python 3.11).
        ended.set()


@pytest.mark.parametrize("seed", [1, 2])
async def test_jobs_end_exactly_however_they_are_disturbed(
    queue: QueueDriver, probe: QueueProbe, redis_url: str, seed: int
) -> None:
    for name, max_pages in JOBS.items():
        await queue.submit(name, SITE[0], max_pages=max_pages, host_limit=6, customer_id=name)
    clients = {worker: strict_client(redis_url) for worker in WORKERS}
    ended = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            for number, (worker, client) in enumerate(clients.items()):
                driver = QueueDriver(client, queue.keys.queue)
                rng = random.Random(seed * 100 + number)
                group.create_task(work(driver, worker, rng, ended))
            group.create_task(disturb(queue, random.Random(seed), ended))
            group.create_task(watch(probe, ended))
    finally:
        for client in clients.values():
            await client.aclose()
    for job in probe.snapshot().jobs.values():
        assert (job.state, job.number("done")) == ("completed", JOBS[job.id])
