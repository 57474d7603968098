"""A crawl and a stream of submits that last as long as something is done to their Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from scraper.jobs import Config
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.queue_reader import QueueReader
from tests.chaos.submitter import Submitter, submitting
from tests.support.figures import none_of
from tests.support.processes import environment, wait_until
from tests.support.site import Site, serve, tree

QUEUE = "scrape-queue"
STARTS_WITHIN_S = 60
GOES_ON_WITHIN_S = 60
PAGE_DELAY_S = 0.1
PAGES_IN_FLIGHT = 16
WORKERS = 2


@dataclass(slots=True)
class LastingCrawl:
    """Crawls of `pages` pages one after another, so that one always runs."""

    queue: QueueReader
    site: Site
    running: Fleet
    submitter: Submitter
    pages: int
    crawls: int = 0

    @property
    def job_id(self) -> str:
        return f"crawl-{self.crawls}"

    def go_on(self, pages: int = 20) -> None:
        """Until so many more pages of the crawl are recorded, and more submits acknowledged: the
        workers have resumed by themselves."""
        if not self.crawls or self.queue.done(self.job_id) + pages + 1 > self.pages:
            self._begin_another()
        aim = self.queue.done(self.job_id) + pages
        wait_until(
            lambda: self.queue.has_done(self.job_id, aim), GOES_ON_WITHIN_S, "the crawl goes on"
        )
        self.submitter.wait_for_more(timeout_s=GOES_ON_WITHIN_S)

    def _begin_another(self) -> None:
        if self.crawls:
            self.wait_for_crawl(self.job_id)
        self.crawls += 1
        self.queue.push(
            {
                "type": "full-crawl", "jobId": self.job_id, "url": f"{self.site.url}/0",
                "maxPages": 100_000, "turboMode": True,
            }
        )  # fmt: skip

    def wait_for_crawl(self, job_id: str) -> None:
        wait_until(lambda: self.queue.has_ended(job_id), 120, f"{job_id} ends")

    def judge(self) -> tuple[str, ...]:
        """All that was begun or acknowledged completes, each page of it recorded once, and the
        workers are those of the beginning. Returns the figures."""
        self.submitter.is_over.set()
        self.submitter.join(60)
        for number in range(1, self.crawls + 1):
            job_id = f"crawl-{number}"
            self.wait_for_crawl(job_id)
            assert self.queue.errors(job_id) == {}
            self.queue.assert_whole(job_id, self.site.url, self.pages)
        kept = self.submitter.judge(self.queue)
        pages = self.crawls * self.pages
        fetches = self.site.hits.total() - len(self.submitter.acknowledged)
        return (
            none_of(pages, "pages lost or recorded twice"), kept,
            f"{max(0, fetches - pages)} fetches repeated",
        )  # fmt: skip


@contextlib.contextmanager
def lasting_crawl(
    redis_url: str, *, server_url: str = "", pages: int = 200, **env: str
) -> Iterator[LastingCrawl]:
    """A fleet at work. `server_url`: the server itself, where `redis_url` leads through a proxy:
    the test looks there."""
    queue = QueueReader(server_url or redis_url, QUEUE)
    config = Config(redis_url=redis_url, queue_name=QUEUE)
    own = environment(redis_url, QUEUE_NAME=QUEUE, HOST_CONCURRENCY_TURBO="32", **env)
    with (
        serve(default=tree(pages, delay_s=PAGE_DELAY_S)) as site,
        fleet(own, WORKERS) as running,
    ):
        wait_until(
            lambda: len(queue.workers()) == WORKERS, STARTS_WITHIN_S,
            "workers are ready",
        )  # fmt: skip
        before = {worker.pid for worker in running.workers}
        with submitting(config, site.url, pages) as submitter:
            crawl = LastingCrawl(queue, site, running, submitter, pages)
            crawl.go_on()
            yield crawl
        assert {worker.pid for worker in running.workers} == before, "a worker was replaced"
        assert running.is_alive
    queue.close()
