"""A Redis primary dies in mid-crawl and a replica takes over: what was acknowledged is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from scraper.jobs import Config
from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.chaos.submitter import submitting
from tests.support.figures import none_of, tell
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


@pytest.mark.timeout(by_scale(240, 850))
@pytest.mark.parametrize("deployment", [sentinels, cluster])
def test_acknowledged_work_survives_the_loss_of_the_primary(
    deployment: Callable[[], AbstractContextManager[tuple[str, Kill]]],
) -> None:
    with deployment() as (url, kill), serve(default=tree(PAGES, delay_s=0.1)) as site:
        queue = QueueReader(url, QUEUE)
        env = environment(url, QUEUE_NAME=QUEUE, DURABILITY="replicas")
        config = Config(redis_url=url, queue_name=QUEUE, durability="replicas")
        with fleet(env) as running:
            wait_until(lambda: len(queue.workers()) == 2, 60, "are ready")
            queue.push({**CRAWL, "url": f"{site.url}/0"})
            with submitting(config, site.url, PAGES) as submitter:
                for number in range(KILLS):
                    moment = PAGES * (number + 0.5) / (KILLS + 1)
                    wait_until(partial(queue.has_done, "crawl", moment), 90, "the crawl goes on")
                    assert not queue.has_ended("crawl")
                    kill()
                    submitter.wait_for_more()
                before = {worker.pid for worker in running.workers}
                wait_until(lambda: queue.has_ended("crawl"), by_scale(120, 480), "the crawl ends")
            kept = submitter.judge(queue)
            assert {worker.pid for worker in running.workers} == before
        queue.assert_whole("crawl", site.url, PAGES)
        tell(
            f"{deployment.__name__}: {KILLS} primaries killed", kept,
            none_of(PAGES, "pages lost or recorded twice"),
        )  # fmt: skip
        queue.close()
