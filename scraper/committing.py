"""Commits finished pages, batched while the worker is busy, repeated until Redis answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson
import structlog
from redis.exceptions import OutOfMemoryError, ResponseError

from scraper.frontier import Frontier
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.leases import CommitOutcome, PageCommit, PageOutcome
from scraper.lineage import PageWork

log = structlog.get_logger(__name__)

# A call costs Redis as much as ten pages, so batches grow while nobody waits for them: pages of a
# job that keeps its worker in work for long, and that come fast. What waits is fetched again if the
# worker is killed: where pages come slowly, a long wait saves Redis little and risks as much.
BATCH_PAGES = 128
PATIENT_WAIT_S = 0.2
BATCH_WAIT_S = 0.025
# So many pages within the short wait are fast.
FAST_PAGES = 4
# While other jobs wait for a page's host: soon, yet not one call a page.
CONTENDED_WAIT_S = 0.004
BACKOFF_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
# Answers of a server that will take the same call later.
PASSING = (
    "OOM", "MISCONF", "LOADING", "READONLY", "BUSY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN",
    "TRYAGAIN", "MOVED", "ASK", "NOSCRIPT", "max number of clients", "UNKILLABLE",
)  # fmt: skip


class Committer:
    """Takes the end of each page and sends it, in batches, in order.

    A batch goes at once when it is full or the worker has nothing else to do; 4 ms after a page
    whose host other jobs wait for; else after 25 ms, or after 200 ms where pages come fast, the
    worker is not short of them, and none is a single-page job's. A commit that failed is repeated
    for ever: should its lease be lost meanwhile, the repeat says so and changes nothing.
    """

    def __init__(
        self,
        frontier: Frontier,
        worker: str,
        memory: Callable[[], str],
        is_idle: Callable[[], bool],
        is_short: Callable[[], bool],
        on_committed: Callable[[PageWork, CommitOutcome], None],
        max_commit_bytes: int,
        on_reconnected: Callable[[], None],
    ) -> None:
        self.frontier = frontier
        self.worker = worker
        self._memory = memory
        self._is_idle = is_idle
        self._is_short = is_short
        self._on_committed = on_committed
        self._max_commit_bytes = max_commit_bytes
        self._on_reconnected = on_reconnected
        self._pending: list[tuple[PageWork, PageCommit]] = []
        self._sending = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def add(self, work: PageWork, commit: PageCommit) -> None:
        """The page is through; commit it soon."""
        self._pending.append((work, commit))
        self._empty.clear()
        if len(self._pending) - self._sending >= BATCH_PAGES or self._is_idle():
            self._due.set()
        elif work.lease.is_contended:
            self._send_within(CONTENDED_WAIT_S)
        elif work.run.is_single_page or self._is_short():
            self._send_within(BATCH_WAIT_S)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_WAIT_S, self._send_or_gather)

    def _send_or_gather(self) -> None:
        """The short wait of a batch is over: is it worth the long one?"""
        self._timer = None
        if len(self._pending) - self._sending < FAST_PAGES or self._is_short():
            self._due.set()
        else:
            self._send_within(PATIENT_WAIT_S - BATCH_WAIT_S)

    def _send_within(self, wait_s: float) -> None:
        """Have what is pending sent in `wait_s` at the latest."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        if self._timer is None or self._timer.when() > due_s:
            self._stop_timer()
            self._timer = loop.call_at(due_s, self._due.set)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def run(self) -> None:
        """Send commits until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._stop_timer()
            await self._send()

    async def flush(self) -> None:
        """Wait until all that was added is committed."""
        self._due.set()
        await self._empty.wait()

    async def _send(self) -> None:
        while self._pending:
            batch = self._batch()
            self._sending = len(batch)
            outcomes = await self._commit([commit for _, commit in batch])
            del self._pending[: len(batch)]
            self._sending = 0
            for (work, _), outcome in zip(batch, outcomes, strict=True):
                self._on_committed(work, outcome)
            if len(self._pending) < BATCH_PAGES and not self._is_idle():
                break  # the rest waits for its own batch
        if not self._pending:
            self._empty.set()
        elif self._timer is None:
            self._send_within(BATCH_WAIT_S)

    def _batch(self) -> list[tuple[PageWork, PageCommit]]:
        """The oldest pages, as many as one commit may carry (one at least)."""
        size, count = 0, 0
        for _, commit in self._pending[:BATCH_PAGES]:
            size += len(commit.payload) + sum(map(len, commit.links))
            size += sum(len(link.url) for link in commit.charged)
            if count and size > self._max_commit_bytes:
                break
            count += 1
        return self._pending[:count]

    async def _commit(self, pages: Sequence[PageCommit]) -> list[CommitOutcome]:
        failures = 0
        while True:
            try:
                outcomes = await self.frontier.commit_pages(self.worker, self._memory(), pages)
            except REDIS_ERRORS as error:
                if is_refusal(error):
                    return await self._commit_one_by_one(pages, error)
                if failures in (0, 10, 100):
                    log.warning("commit waits for Redis", pages=len(pages), error=str(error))
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
            else:
                if failures:
                    self._on_reconnected()
                    log.info("commit went through", pages=len(pages), failures=failures)
                return outcomes

    async def _commit_one_by_one(
        self, pages: Sequence[PageCommit], error: Exception
    ) -> list[CommitOutcome]:
        """Redis refused the batch for what is in it: only the page that is to blame may fail."""
        if len(pages) > 1:
            return [(await self._commit([page]))[0] for page in pages]
        [page] = pages
        log.error("a page cannot be committed", url=page.url, error=str(error))
        if page.outcome is PageOutcome.FAILED:
            await self.frontier.release_pages(self.worker, [page.token])
            return [CommitOutcome.LEASE_LOST]
        payload = orjson.dumps({"url": page.url, "code": "internal", "message": str(error)})
        failed = PageCommit(page.token, PageOutcome.FAILED, page.url, payload, code="internal")
        return await self._commit([failed])


def is_refusal(error: Exception) -> bool:
    """True when repeating the same call cannot help; a full, loading or read-only server can."""
    if not isinstance(error, ResponseError) or isinstance(error, OutOfMemoryError):
        return False
    return not str(error).startswith(PASSING)
