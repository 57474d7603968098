"""`make soak`: a service under work for SOAK_S seconds. Memory and keys must not grow with time."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

import psutil
import pytest

from tests.chaos.customers import CustomersJobs, Tally
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import seeded
from tests.integration.conftest import QueuePlace
from tests.support.figures import tell
from tests.support.processes import wait_until
from tests.support.site import serve

SOAK_S = float(os.environ.get("SOAK_S", "0"))
MIB = 2**20
# What a process takes when it first meets work is no leak: readings count from here on.
WARM_UP = 0.3
READINGS = 60
JOBS_AT_ONCE = 12
RESULT_TTL_S = 20
# Growth over the later part that is more than an allocator's breathing.
GROWTH_SHARE, GROWTH_BYTES = 0.15, 16 * MIB

pytestmark = [
    pytest.mark.skipif(not SOAK_S, reason="a part of `make soak`"),
    pytest.mark.timeout(SOAK_S + 300),
]


@dataclass(frozen=True, slots=True)
class Reading:
    """At one moment: unique memory of the workers together and of the supervisor's own process,
    keys in Redis, its memory, jobs that have ended."""

    workers_bytes: int
    supervisor_bytes: int
    keys: int
    redis_bytes: int
    jobs: int


def take(running: Fleet, queue: QueueReader, jobs: int) -> Reading:
    return Reading(
        sum(worker.memory_full_info().uss for worker in running.workers),
        psutil.Process(running.process.pid).memory_full_info().uss,
        queue.redis.dbsize(),
        queue.redis.info("memory")["used_memory"],
        jobs,
    )


def growth(values: list[int]) -> tuple[float, float]:
    """From the median of the second third to that of the last: as a share, and in all."""
    third = len(values) // 3
    before, after = statistics.median(values[third:-third]), statistics.median(values[-third:])
    return after / before - 1, after - before


def test_a_long_run_loses_nothing_and_grows_nowhere(place: QueuePlace, queue: QueueReader) -> None:
    rng, how_to_repeat = seeded()
    jobs = CustomersJobs(queue, rng, result_ttl_s=RESULT_TTL_S)
    began_s = time.monotonic()
    readings: list[Reading] = []
    with serve(default=jobs.answer) as site, fleet(place.env(HOST_CONCURRENCY_TURBO="64")) as run:
        wait_until(lambda: len(run.workers) == 2, 60, "the workers start")
        workers = {worker.pid for worker in run.workers}
        while (passed_s := time.monotonic() - began_s) < SOAK_S:
            jobs.top_up(site, JOBS_AT_ONCE)
            jobs.judge_ended(site, how_to_repeat)
            if passed_s > SOAK_S * (WARM_UP + (1 - WARM_UP) * len(readings) / READINGS):
                readings.append(take(run, queue, jobs.judged))
            wait_until(jobs.have_some_ended, 60, f"jobs end; {how_to_repeat}")
        assert {worker.pid for worker in run.workers} == workers, "a worker was replaced"
        jobs.wait_for_all(RESULT_TTL_S)
        tally = jobs.judge(site, how_to_repeat)
        assert run.terminate() == 0
    report(readings, tally, how_to_repeat)


def report(readings: list[Reading], tally: Tally, how_to_repeat: str) -> None:
    first, last = readings[0], readings[-1]
    grown = {
        name: growth([getattr(reading, name) for reading in readings])
        for name in ("workers_bytes", "supervisor_bytes", "keys", "redis_bytes")
    }
    tell(
        f"{SOAK_S:g} s of work",
        *tally.figures,
        f"workers {first.workers_bytes / MIB:.0f} to {last.workers_bytes / MIB:.0f} MiB",
        f"supervisor {first.supervisor_bytes / MIB:.0f} to {last.supervisor_bytes / MIB:.0f} MiB",
        f"keys {first.keys} to {last.keys}",
        f"Redis {first.redis_bytes / MIB:.1f} to {last.redis_bytes / MIB:.1f} MiB",
        "; ".join(f"{name} {share:+.1%}" for name, (share, _) in grown.items()), how_to_repeat,
    )  # fmt: skip
    assert tally.repeats == 0, how_to_repeat
    for name in ("workers_bytes", "supervisor_bytes"):
        share, in_all = grown[name]
        assert share < GROWTH_SHARE or in_all < GROWTH_BYTES, (name, readings)
    if SOAK_S > 10 * RESULT_TTL_S:
        assert grown["keys"][0] < GROWTH_SHARE, readings
