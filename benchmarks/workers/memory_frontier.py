"""A frontier in this process's memory, behind the interface of the one in Redis."""

from collections import deque
from collections.abc import Iterable, Sequence

from scraper.jobs.leases import (
    CommitOutcome,
    Extension,
    LeasedJob,
    LeasedPage,
    LeaseReply,
    LeaseRequest,
    PageCommit,
    PageOutcome,
    Start,
    StartState,
)


class MemoryFrontier:
    """One job; no durability, no politeness, no other workers."""

    def __init__(self, job_id: str, spec: str, start_url: str, max_pages: int) -> None:
        self._job = LeasedJob(job_id, spec, "", 1, "default")
        self._queue: deque[tuple[str, int, str]] = deque([(start_url, 0, "")])
        self._known = {start_url}
        self._leases: dict[str, tuple[str, int]] = {}
        self._tokens = 0
        self._max_pages = max_pages
        self.records: list[bytes] = []

    @property
    def is_done(self) -> bool:
        return not self._leases and (not self._queue or len(self.records) >= self._max_pages)

    async def lease_pages(self, worker: str, request: LeaseRequest, lease_ms: int) -> LeaseReply:
        pages: list[LeasedPage] = []
        budget = self._max_pages - len(self.records) - len(self._leases)
        for _ in range(min(request.pages, budget, len(self._queue))):
            url, depth, found_on = self._queue.popleft()
            self._tokens += 1
            token = str(self._tokens)
            self._leases[token] = (url, depth)
            pages.append(LeasedPage(token, self._job.job_id, url, depth, 1, found_on, 0, False, ""))
        jobs = [] if self._job.job_id in request.held else [self._job]
        return LeaseReply(0, 0, pages, jobs, [])

    async def commit_pages(
        self, worker: str, memory: str, pages: Sequence[PageCommit]
    ) -> list[CommitOutcome]:
        return [self._commit(page) for page in pages]

    def _commit(self, page: PageCommit) -> CommitOutcome:
        lease = self._leases.pop(page.token, None)
        if lease is None:
            return CommitOutcome.LEASE_LOST
        if page.outcome is PageOutcome.DONE:
            self.records.append(page.payload)
        for link in page.links:
            if link not in self._known:
                self._known.add(link)
                self._queue.append((link, lease[1] + 1, page.url))
        return CommitOutcome.OK

    async def release_pages(self, worker: str, tokens: Sequence[str]) -> int:
        return 0

    async def keep_leases(self, worker: str, tokens: Sequence[str]) -> int:
        return 0

    async def take_start(self, worker: str, token: str, number: int, url: str) -> Start:
        return Start(StartState.START, 0, 0)

    async def extend_leases(self, worker: str, lease_ms: int, held: Sequence[str]) -> Extension:
        return Extension(True, [])

    async def reclaim_worker(self, instances: Iterable[str]) -> int:
        return 0
