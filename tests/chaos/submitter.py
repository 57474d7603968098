"""Submits single pages all the while, and remembers which of them were acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from scraper.jobs import Config, JobQueue, JobsError
from scraper.jobs.connection import REDIS_ERRORS, connect
from tests.chaos.queue_reader import QueueReader
from tests.support.figures import none_of
from tests.support.processes import wait_until


class Submitter(threading.Thread):
    """Submits one job after another; what is not acknowledged is repeated with the same id."""

    def __init__(self, config: Config, site: str, pages: int, pause_s: float = 0.05) -> None:
        """The jobs' pages are `/0` to `/<pages - 1>` of the site."""
        super().__init__(name="submitter")
        self.acknowledged: list[str] = []
        self.repeated = 0
        self.is_over = threading.Event()
        self._site = site
        self._config = config
        self._pages = pages
        self._pause_s = pause_s

    def run(self) -> None:
        asyncio.run(self._submit())

    async def _submit(self) -> None:
        url = self._config.redis_url or ""
        queue = JobQueue(connect(url), self._config, job_types=["single-page"])
        number = 0
        while not self.is_over.is_set():
            job_id = f"single-{number}"
            page = f"{self._site}/{number % self._pages}"
            job = {"type": "single-page", "jobId": job_id, "url": page, "customerId": "acme"}
            try:
                await queue.add_job(job)
            except (JobsError, *REDIS_ERRORS):
                self.repeated += 1
                await asyncio.sleep(2 * self._pause_s)
            else:
                self.acknowledged.append(job_id)
                number += 1
                await asyncio.sleep(self._pause_s)
        await queue.shutdown()

    def wait_for_more(self, count: int = 3, timeout_s: float = 60) -> None:
        """Until it is answered again."""
        before = len(self.acknowledged)
        wait_until(
            lambda: len(self.acknowledged) >= before + count, timeout_s, "submits are acknowledged"
        )

    def judge(self, queue: QueueReader, timeout_s: float = 60) -> str:
        """Every acknowledged job is there and completes. Returns the figure."""
        wait_until(
            lambda: all(queue.has_ended(job) for job in self.acknowledged), timeout_s,
            "every acknowledged job ends",
        )  # fmt: skip
        assert {queue.state(job) for job in self.acknowledged} <= {"completed"}
        lost = none_of(len(self.acknowledged), "acknowledged submits lost")
        return f"{lost}, {self.repeated} tries repeated"


@contextlib.contextmanager
def submitting(config: Config, site: str, pages: int) -> Iterator[Submitter]:
    """Submits while the block runs."""
    submitter = Submitter(config, site, pages)
    submitter.start()
    try:
        yield submitter
    finally:
        submitter.is_over.set()
        submitter.join(60)
