"""Jobs of several customers on one site, held against the site's own ledger: an oracle that knows
nothing of Redis."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Any

from tests.chaos.queue_reader import QueueReader
from tests.support.figures import none_of
from tests.support.processes import wait_until
from tests.support.site import Answer, Site, html

CUSTOMERS = ("acme", "bolt", "core", "dune")
FAN_OUT = 5
NOT_FOUND = Answer(b"not found", status=404)


@dataclass(frozen=True, slots=True)
class Tally:
    """What all jobs together came to."""

    jobs: int
    pages: int
    repeats: int

    @property
    def figures(self) -> tuple[str, ...]:
        return (
            none_of(self.pages, f"pages of {self.jobs} jobs lost, recorded twice or quarantined"),
            f"{self.repeats} fetches repeated",
        )


class CustomersJobs:
    """Pushes jobs and judges them. The pages of a job are `/<job>/0`, `/<job>/1`, ...: a tree."""

    def __init__(
        self,
        queue: QueueReader,
        rng: random.Random,
        *,
        crawl_pages: int = 60,
        result_ttl_s: int | None = None,
    ) -> None:
        """`result_ttl_s`: how long a job that has ended can be judged; None: as it is set."""
        self._queue = queue
        self._rng = rng
        self._crawl_pages = crawl_pages
        self._more = {} if result_ttl_s is None else {"resultTtl": result_ttl_s}
        self._pages: dict[str, int] = {}
        self._open: set[str] = set()
        self._ended: list[str] = []
        self.judged = 0
        self.judged_pages = 0

    def answer(self, path: str) -> Answer:
        """For `serve(default=...)`. Each page takes a time of its own, 20 to 400 ms."""
        job, _, text = path.strip("/").partition("/")
        pages = self._pages.get(job, 0)
        if not text.isdigit() or int(text) >= pages:
            return NOT_FOUND
        first = int(text) * FAN_OUT + 1
        children = range(first, min(first + FAN_OUT, pages))
        page = html(f"/{job}/0", *(f"/{job}/{child}" for child in children), title=path)
        page.delay_s = 0.02 + zlib.crc32(path.encode()) % 380 / 1000
        return page

    def top_up(self, site: Site, at_once: int) -> None:
        """Push new jobs until so many are open."""
        self.have_some_ended()
        new = [self._job(site) for _ in range(at_once - len(self._open))]
        self._open.update(job["jobId"] for job in new)
        if new:
            self._queue.push(*new)

    def have_some_ended(self) -> bool:
        """Whether some jobs wait to be judged."""
        ended = [job for job in self._open if self._queue.has_ended(job)]
        self._open.difference_update(ended)
        self._ended += ended
        return bool(self._ended)

    def _job(self, site: Site) -> dict[str, Any]:
        job_id = f"job-{len(self._pages)}"
        is_crawl = self._rng.random() < 0.75
        self._pages[job_id] = self._crawl_pages if is_crawl else 1
        job: dict[str, Any] = {"jobId": job_id, "url": f"{site.url}/{job_id}/0", "turboMode": True}
        job |= {"customerId": self._rng.choice(CUSTOMERS), **self._more}
        if is_crawl:
            return {**job, "type": "full-crawl", "maxPages": 10_000}
        return {**job, "type": "single-page"}

    def wait_for_all(self, timeout_s: float) -> None:
        """Until every job has ended; one that is stuck is a failure."""

        def is_so() -> bool:
            self.have_some_ended()
            return not self._open

        wait_until(is_so, timeout_s, f"these jobs end: {self._open}")

    def judge_ended(self, site: Site, how_to_repeat: str) -> None:
        """Each page of each job that has ended is recorded once; none failed."""
        for job in self._ended:
            pages = self._pages[job]
            assert self._queue.errors(job) == {}, (job, how_to_repeat)
            self._queue.assert_whole(job, f"{site.url}/{job}", pages, how_to_repeat)
            self.judged += 1
            self.judged_pages += pages
        self._ended.clear()

    def judge(self, site: Site, how_to_repeat: str) -> Tally:
        """The same of all jobs, and the site's ledger holds exactly their pages."""
        assert not self._open
        self.judge_ended(site, how_to_repeat)
        served = site.hits.total()
        paths = {f"/{job}/{it}" for job, pages in self._pages.items() for it in range(pages)}
        assert set(site.hits) == paths, how_to_repeat
        return Tally(self.judged, len(paths), served - len(paths))
