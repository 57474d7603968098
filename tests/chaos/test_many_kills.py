"""Hundreds of kills of workers and supervisors over the jobs of several customers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial

import psutil
import pytest

from supervisor.policy import RestartLimits
from tests.chaos.customers import CustomersJobs
from tests.chaos.fleet import Fleet, fleet, instance_of, workers_of
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale, seeded
from tests.integration.conftest import QueuePlace
from tests.support.figures import none_of, tell, times
from tests.support.processes import wait_until
from tests.support.services import run, service_on
from tests.support.site import Answer, Site, html, serve

PAGES_IN_FLIGHT = 16
WORKERS = by_scale(3, 4)
# On a slow machine, fewer in several runs prove as much as all in one.
KILLS = os.environ.get("CHAOS_KILLS")
WORKER_KILLS = int(KILLS or by_scale(8, 500))
SUPERVISOR_KILLS = int(KILLS or by_scale(2, 50))
TAKEOVERS = int(KILLS or by_scale(2, 30))
JOBS_AT_ONCE = by_scale(4, 12)
ENDS_WITHIN_S = by_scale(60, 180)
# A start takes a second of an idle core, and this is how long a loaded machine may need for one.
STARTS_WITHIN_S = 60
# No kill is forgiven here, but none may stop the fleet either.
TOUGH = RestartLimits(backoff_max_s=0.2, breaker_deaths=10**6, fleet_deaths=10**6)


def go_on(jobs: CustomersJobs, site: Site, pages: int, how_to_repeat: str) -> None:
    """Until so many more pages were served, with always some jobs open."""
    served = site.hits.total() + pages

    def is_so() -> bool:
        jobs.top_up(site, JOBS_AT_ONCE)
        return site.hits.total() >= served

    wait_until(is_so, STARTS_WITHIN_S, f"the crawls go on; {how_to_repeat}")


def kill_at_random(
    jobs: CustomersJobs, site: Site, queue: QueueReader, rng: random.Random, how_to_repeat: str
) -> int:
    """Kill -9 of any worker, each time after some more pages; how many of them had pages."""
    had_pages = 0
    for _ in range(WORKER_KILLS):
        go_on(jobs, site, rng.randint(1, 30), how_to_repeat)
        wait_until(lambda: workers_of(os.getpid()), STARTS_WITHIN_S, "a worker lives")
        workers = workers_of(os.getpid())
        busy = [worker for worker in workers if queue.leases(instance_of(worker))]
        # Some die while they start: those hold nothing.
        is_busy = bool(busy) and rng.random() < 0.9
        victim = rng.choice(busy if is_busy else workers)
        had_pages += is_busy
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    return had_pages


@pytest.mark.timeout(by_scale(120, 3000))
def test_kills_of_workers_lose_no_page_and_quarantine_no_innocent(
    place: QueuePlace, queue: QueueReader
) -> None:
    rng, how_to_repeat = seeded()
    jobs = CustomersJobs(queue, rng)

    async def scenario(site: Site) -> int:
        service = service_on(
            place, worker_count=WORKERS, restart_limits=TOUGH, host_concurrency_turbo=64,
            page_concurrency=PAGES_IN_FLIGHT,
        )  # fmt: skip
        async with service:
            had_pages = await asyncio.to_thread(
                kill_at_random, jobs, site, queue, rng, how_to_repeat
            )
            await asyncio.to_thread(jobs.wait_for_all, ENDS_WITHIN_S)
            return had_pages

    with serve(default=jobs.answer) as site:
        found: list[int] = []

        async def noting() -> None:
            found.append(await scenario(site))

        began_s = time.monotonic()
        run(noting())
        took_s = time.monotonic() - began_s
        tally = jobs.judge(site, how_to_repeat)
    # Few kills may hit fuller workers than the average, whose pages also wait for their commit.
    bound = by_scale(2, 1) * WORKER_KILLS * PAGES_IN_FLIGHT
    tell(
        f"{WORKER_KILLS} worker kills, {found[0]} of them with pages in hand",
        *tally.figures, f"{tally.repeats / WORKER_KILLS:.1f} a kill", f"{took_s:.0f} s",
        how_to_repeat,
    )  # fmt: skip
    assert found[0], "all were killed before they had work"
    assert tally.repeats <= bound, how_to_repeat


def are_back(queue: QueueReader, instances: list[str]) -> bool:
    return not any(map(queue.leases, instances))


def wait_for_takeover(run: Fleet, queue: QueueReader, dead: list[str]) -> tuple[float, float]:
    """How long after the new supervisor's start the leases of the dead were back, and how long
    after its first worker had asked for work: 0 when that came later, in seconds."""
    began_s, asked_s = time.monotonic(), 0.0
    deadline_s = began_s + STARTS_WITHIN_S
    while not are_back(queue, dead):
        known = set(queue.workers())
        if not asked_s and known - set(dead):
            asked_s = time.monotonic()
        assert time.monotonic() < deadline_s, "the leases of the dead do not come back"
        assert run.is_alive
    now_s = time.monotonic()
    return now_s - began_s, now_s - asked_s if asked_s else 0.0


@pytest.mark.timeout(by_scale(150, 1800))
def test_kills_of_supervisors_leave_no_orphan_and_the_next_takes_over(
    place: QueuePlace, queue: QueueReader
) -> None:
    rng, how_to_repeat = seeded()
    jobs = CustomersJobs(queue, rng)
    env = place.env(HOST_CONCURRENCY_TURBO="64")
    orphans_s, taken_s, late_s, held = [], [], [], 0
    with serve(default=jobs.answer) as site, fleet(env, 2) as running:
        for _ in range(SUPERVISOR_KILLS):
            go_on(jobs, site, rng.randint(10, 60), how_to_repeat)
            dead = [name for name in map(instance_of, running.workers) if name]
            orphans_s.append(running.kill_supervisor())
            held += sum(len(queue.leases(it)) for it in dead)
            running.respawn()
            at_s, after_ask_s = wait_for_takeover(running, queue, dead)
            taken_s.append(at_s)
            late_s.append(after_ask_s)
        jobs.wait_for_all(ENDS_WITHIN_S)
        assert running.terminate() == 0
        tally = jobs.judge(site, how_to_repeat)
    tell(
        f"{SUPERVISOR_KILLS} supervisor kills",
        none_of(2 * SUPERVISOR_KILLS, "workers outlived theirs by 2 s"),
        f"all were gone after {times(orphans_s)}",
        f"leases back after the next one's start: {times(taken_s)}",
        f"after its first worker had asked for work: {max(late_s):.3f} s at most",
        *tally.figures, f"of {held} in hand", how_to_repeat,
    )  # fmt: skip
    assert max(late_s) < 2.0, "a worker waited for what a dead one had held"
    assert held, "all were killed before they had work"
    assert tally.repeats <= held, how_to_repeat


class SlowPages:
    """Each page's first answer does not come until `gate` opens; the second comes at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self._asked: set[str] = set()

    def answer(self, path: str) -> Answer:
        if path not in self._asked:
            self._asked.add(path)
            self.gate.wait(STARTS_WITHIN_S)
        return html(title=path)


@pytest.mark.timeout(by_scale(120, 900))
def test_pages_of_a_killed_worker_are_fetched_by_another_within_a_second(
    place: QueuePlace, queue: QueueReader
) -> None:
    slow = SlowPages()

    async def scenario(site: Site) -> list[float]:
        async with service_on(place, worker_count=2, restart_limits=TOUGH):
            return await asyncio.to_thread(lambda: list(takeovers(queue, site, slow.gate)))

    found: list[list[float]] = []
    with serve(default=slow.answer) as site:

        async def noting() -> None:
            found.append(await scenario(site))

        run(noting())
    [took_s] = found
    tell("worker killed, until another one fetches its page", times(took_s))
    assert statistics.median(took_s) < 1.0


def takeovers(queue: QueueReader, site: Site, gate: threading.Event) -> Iterator[float]:
    """Kill the worker that fetches a page, again and again; s until another one fetches it."""
    for number in range(TAKEOVERS):
        wait_until(partial(both_wait, queue), STARTS_WITHIN_S, "both wait for work")
        gate.clear()
        path = f"/{number}"
        queue.push({"type": "single-page", "jobId": f"{number}", "url": f"{site.url}{path}"})
        wait_until(partial(has_hits, site, path, 1), 60, "one fetches it")
        [victim] = [it for it in workers_of(os.getpid()) if queue.leases(instance_of(it))]
        killed_s = time.monotonic()
        victim.kill()
        wait_until(partial(has_hits, site, path, 2), 60, "another one fetches it")
        yield next(at for at, it in reversed(site.times) if it == path) - killed_s
        gate.set()
        wait_until(partial(queue.has_ended, f"{number}"), 60, "the job ends")
        assert queue.state(f"{number}") == "completed"


def has_hits(site: Site, path: str, count: int) -> bool:
    return site.hits[path] >= count


def both_wait(queue: QueueReader) -> bool:
    """Whether two workers are up and have nothing to do."""
    known = set(queue.workers())
    waiting = [instance_of(worker) for worker in workers_of(os.getpid())]
    return len(waiting) == 2 and all(it in known and not queue.leases(it) for it in waiting)
