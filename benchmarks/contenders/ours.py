"""This project: `scrapy work` processes on one Redis, jobs pushed as users push them."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import ClassVar, cast

import psutil
import redis

from benchmarks.contenders.contender import Contender
from benchmarks.plan import ExtractionProfile, Mode, Plan, Report
from benchmarks.watch import Watch
from benchmarks.workers.tally import TallyCount
from scraper.jobs.records import unpack_record
from supervisor.environment import ALLOCATOR

QUEUE = "scrape-queue"
PREFIX = f"{{{QUEUE}}}:"
JOBS_AT_ONCE = 32


def worker_environment(plan: Plan) -> dict[str, str]:
    """Settings of the workers: politeness must not be what is measured."""
    single = plan.mode in {Mode.SINGLE_PAGE, Mode.LATENCY}
    return {
        # As the supervisor starts its workers.
        **ALLOCATOR,
        "REDIS_URL": plan.redis_url,
        "QUEUE_NAME": QUEUE,
        "LOG_LEVEL": "warning",
        "WORKER_CONCURRENCY": str(JOBS_AT_ONCE if single else 2),
        "PAGE_CONCURRENCY": str(JOBS_AT_ONCE if single else 16),
        "HOST_CONCURRENCY": "1000",
        "HOST_CONCURRENCY_TURBO": "1000",
        "ALLOW_PRIVATE_HOSTS": "127.0.0.0/8",
        "MAX_JOB_DURATION": "3600000",
    }


def job(plan: Plan, job_type: str, url: str) -> dict[str, object]:
    """A job of the plan's extraction profile."""
    turbo = plan.profile is ExtractionProfile.LINKS
    return {"type": job_type, "url": url, "turboMode": turbo}


class Ours(Contender):
    """One worker."""

    name: ClassVar[str] = "ours"
    title: ClassVar[str] = "Scraper Workers, 1 worker"
    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    needs_redis: ClassVar[bool] = True
    workers: ClassVar[int] = 1

    def run(self, plan: Plan, watch: Watch) -> Report:
        with contextlib.closing(redis.Redis.from_url(plan.redis_url)) as client:
            if plan.mode is Mode.MEMORY:
                return self._fill(plan, watch, client)
            processes = self._start(plan, watch, client)
            if plan.mode is Mode.SINGLE_PAGE:
                self._enqueue(plan, watch, client)
            before_s = [_cpu_s(process) for process in processes]
            watch.begin()
            started_s = time.monotonic()
            latencies = list(self._work(plan, watch, client))
            wall_s = time.monotonic() - started_s
            cpu_s = sum(map(_cpu_s, processes)) - sum(before_s)
            watch.end()
            rss = max(process.memory_info().rss for process in processes)
            count = _count(plan, client)
        return Report(count.pages, cpu_s, wall_s, rss, count.as_dict(), latencies)

    def _start(self, plan: Plan, watch: Watch, client: redis.Redis) -> list[psutil.Process]:
        """Workers that wait for jobs: their start-up is not measured."""
        command = [sys.executable, "-m", "scrapy", "work"]
        started = [watch.start(command, worker_environment(plan)) for _ in range(self.workers)]
        idle = f"{PREFIX}idle:full-crawl"
        watch.until(lambda: client.scard(idle) == self.workers, "idle worker")
        return [psutil.Process(process.pid) for process in started]

    def _work(self, plan: Plan, watch: Watch, client: redis.Redis) -> Iterator[float]:
        completed = f"{PREFIX}jobs:completed"
        if plan.mode is Mode.FULL_CRAWL:
            crawl = {**job(plan, "full-crawl", plan.start_url), "maxPages": plan.pages + 100}
            client.lpush(QUEUE, json.dumps(crawl))
            watch.until(lambda: client.zcard(completed) == 1, "completed job")
            return
        urls = plan.urls_file.read_text().split()
        if plan.mode is Mode.SINGLE_PAGE:
            client.hdel(f"{PREFIX}meta", "paused")
            watch.until(lambda: client.zcard(completed) == len(urls), "completed jobs")
            return
        for number, url in enumerate(urls, 1):
            time.sleep(0.15)
            pushed_s = time.monotonic()
            client.lpush(QUEUE, json.dumps(job(plan, "single-page", url)))
            while client.zcard(completed) < number:
                time.sleep(0.0005)
            yield (time.monotonic() - pushed_s) * 1000

    def _enqueue(self, plan: Plan, watch: Watch, client: redis.Redis) -> None:
        """The jobs are in the queue before the work begins, as they are with the others."""
        client.hset(f"{PREFIX}meta", "paused", "1")
        urls = plan.urls_file.read_text().split()
        for start in range(0, len(urls), 500):
            pushes = [json.dumps(job(plan, "single-page", u)) for u in urls[start : start + 500]]
            client.lpush(QUEUE, *pushes)
        waiting = f"{PREFIX}jobs:waiting"
        watch.until(lambda: client.zcard(waiting) == len(urls), "accepted jobs")

    def _fill(self, plan: Plan, watch: Watch, client: redis.Redis) -> Report:
        watch.begin()
        watch.complete([sys.executable, "-m", "benchmarks.workers.fill_ours"], plan.environment())
        known = int(client.hlen(f"{PREFIX}job:memory:pages")) - 1
        watch.end()
        return Report(pages=known, cpu_s=0, wall_s=0)


class OursTwice(Ours):
    """Two workers on one job."""

    name = "ours-2"
    title = "Scraper Workers, 2 workers"
    modes = frozenset({Mode.FULL_CRAWL, Mode.SINGLE_PAGE})
    workers = 2


class OursInMemory(Contender):
    """The same worker with a frontier in its own memory: what Redis costs."""

    name = "ours-in-memory"
    title = "Scraper Workers, in-process frontier"
    modes = frozenset({Mode.FULL_CRAWL})
    needs_redis = False

    def run(self, plan: Plan, watch: Watch) -> Report:
        watch.begin()
        command = [sys.executable, "-m", "benchmarks.workers.run_in_memory"]
        watch.complete(command, {**worker_environment(plan), **plan.environment()})
        watch.end()
        return Report.read(plan.report_file)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _count(plan: Plan, client: redis.Redis) -> TallyCount:
    """What is in the stored records."""
    count = TallyCount(is_crawl=plan.mode is Mode.FULL_CRAWL)
    jobs = cast("list[bytes]", client.zrange(f"{PREFIX}jobs:completed", 0, -1))
    for job_id in jobs:
        key = f"{PREFIX}job:{job_id.decode()}:records"
        records = cast("list[bytes]", client.lrange(key, 0, -1))
        for record in records:
            count.take(unpack_record(record))
    return count
