"""A Redis primary dies in mid-crawl and a replica takes over: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from scraper.jobs import Config, JobQueue, JobsError
from scraper.jobs.connection import REDIS_ERRORS, connect
from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.support.processes import environment, wait_until
from tests.support.redis_cluster import running_cluster
from tests.support.redis_replication import running_replication
from tests.support.site import serve, tree

QUEUE = "scrape-queue"
PAGES = by_scale(250, 4_000)
KILLS = by_scale(1, 2)
CRAWL = {"type": "full-crawl", "jobId": "crawl", "maxPages": 100_000, "turboMode": True}
Kill = Callable[[], None]


@contextlib.contextmanager
def sentinels() -> Iterator[tuple[str, Kill]]:
    """A URL, and how to kill the primary of the moment."""
    with running_replication(replicas=1 + KILLS, sentinels=3) as servers:

        def kill() -> None:
            living = [member for member in servers.members if member.process.poll() is None]
            next(member for member in living if member.role == "master").process.kill()

        yield servers.sentinel_url, kill


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, Kill]]:
    with running_cluster(masters=3, replicas=1 + KILLS) as nodes:
        yield nodes.url, lambda: nodes.master_of(f"{{{QUEUE}}}:meta").process.kill()


class Submitter(threading.Thread):
    """Submits single pages, one after another; what is not acknowledged is repeated."""

    def __init__(self, redis_url: str, site: str) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.repeated = 0
        self.is_over = threading.Event()
        self._site = site
        self._config = Config(redis_url=redis_url, queue_name=QUEUE, durability="replicas")

    def run(self) -> None:
        asyncio.run(self._submit())

    async def _submit(self) -> None:
        url = self._config.redis_url or ""
        queue = JobQueue(connect(url), self._config, job_types=["single-page"])
        number = 0
        while not self.is_over.is_set():
            job_id = f"single-{number}"
            job = {"type": "single-page", "jobId": job_id, "url": f"{self._site}/{number % PAGES}"}
            try:
                await queue.add_job({**job, "customerId": "acme"})
            except (JobsError, *REDIS_ERRORS):
                self.repeated += 1
                await asyncio.sleep(0.1)
            else:
                self.acknowledged.append(job_id)
                number += 1
                await asyncio.sleep(0.05)
        await queue.shutdown()


@pytest.mark.timeout(by_scale(180, 600))
@pytest.mark.parametrize("deployment", [sentinels, cluster])
def test_acknowledged_work_survives_the_loss_of_the_primary(
    deployment: Callable[[], AbstractContextManager[tuple[str, Kill]]],
) -> None:
    with deployment() as (url, kill), serve(default=tree(PAGES, delay_s=0.1)) as site:
        queue = QueueReader(url, QUEUE)
        env = environment(url, QUEUE_NAME=QUEUE, DURABILITY="replicas")
        submitter = Submitter(url, site.url)
        with fleet(env) as running:
            wait_until(lambda: queue.redis.zcard(f"{queue.prefix}workers") == 2, 60, "are ready")
            queue.push({**CRAWL, "url": f"{site.url}/0"})
            submitter.start()
            try:
                for number in range(KILLS):
                    moment = PAGES * (number + 0.5) / (KILLS + 1)
                    wait_until(partial(queue.has_done, "crawl", moment), 90, "the crawl goes on")
                    assert not queue.has_ended("crawl")
                    acknowledged = len(submitter.acknowledged)
                    kill()
                    wait_until(
                        lambda: len(submitter.acknowledged) > acknowledged + 3, 60, "goes on"
                    )
                before = {worker.pid for worker in running.workers}
                wait_until(lambda: queue.has_ended("crawl"), 120, "the crawl ends")
            finally:
                submitter.is_over.set()
                submitter.join()
            wait_until(
                lambda: all(queue.has_ended(job) for job in submitter.acknowledged), 60,
                "every acknowledged job ends",
            )  # fmt: skip
            assert {worker.pid for worker in running.workers} == before
        assert {queue.state(job) for job in [*submitter.acknowledged, "crawl"]} == {"completed"}
        queue.assert_exactly_once("crawl")
        queue.assert_conserved("crawl")
        assert set(queue.recorded("crawl")) == {f"{site.url}/{it}" for it in range(PAGES)}
        print(
            f"{PAGES} pages, {KILLS} primaries killed, {len(submitter.acknowledged)} submits "
            f"acknowledged, {submitter.repeated} tries repeated"
        )
        queue.close()
