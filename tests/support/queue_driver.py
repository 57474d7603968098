"""Short words for what tests do with a queue's transitions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import orjson

from scraper.jobs.cluster import set_home
from scraper.jobs.connection import AsyncClient, connect
from scraper.jobs.leases import (
    CommitOutcome,
    Filtered,
    LeasedPage,
    LeaseReply,
    LeaseRequest,
    Pace,
    PageCommit,
    PageOutcome,
)
from scraper.jobs.transitions import Submission, Transitions

POOLS = ("single-page", "full-crawl")
HOUR_MS = 3_600_000

_numbers = itertools.count(1)


def strict_client(url: str) -> AsyncClient:
    """The client of our own code, which repeats nothing by itself."""
    return connect(url, read_timeout_s=30)


def submission(job_id: str, url: str = "", **changes: Any) -> Submission:
    """A job of one page of its own host; more pages make it a crawl."""
    max_pages = changes.get("max_pages", 1)
    job_type = "single-page" if max_pages == 1 else "full-crawl"
    fields: dict[str, Any] = {
        "job_id": job_id,
        "spec": f'{{"jobId":"{job_id}"}}',
        "type": job_type,
        "pool": job_type,
        "customer_id": "acme",
        "priority": 0,
        "start_url": url or f"http://{job_id}.test/",
        "max_pages": max_pages,
        "max_duration_ms": HOUR_MS,
        "attempts": 1,
        "backoff_type": "fixed",
        "backoff_ms": HOUR_MS,
        "delay_ms": 0,
        "host_limit": 4,
        "host_delay_ms": 0,
        "pace": Pace.NORMAL,
        "result_ttl_ms": 24 * HOUR_MS,
    }
    return Submission(**fields | changes)


def page_commit(
    lease: LeasedPage,
    outcome: PageOutcome = PageOutcome.DONE,
    *,
    url: str = "",
    code: str = "",
    links: Sequence[str] = (),
    filtered: Sequence[Filtered] = (),
    payload: bytes = b"",
    **changes: Any,
) -> PageCommit:
    """The end of a lease, with a small record or error."""
    if not code and outcome is not PageOutcome.DONE:
        code = "http_503"
    return PageCommit(
        token=lease.token,
        outcome=outcome,
        url=url or lease.url,
        payload=payload or orjson.dumps({"url": lease.url, "code": code}),
        code=code,
        links=links,
        filtered=filtered,
        **{"leased_url": lease.url, **changes},
    )


class QueueDriver:
    """A queue's transitions with the defaults of a test."""

    def __init__(self, client: Any, name: str) -> None:
        self.redis = client
        self.transitions = Transitions(client, name)
        self.keys = self.transitions.keys
        set_home(client, self.keys.key("meta"))

    async def set(self, **settings: object) -> None:
        """Limits that the scripts read."""
        for name, value in settings.items():
            await self.redis.hset(self.keys.key("settings"), name, str(value))

    async def submit(self, job_id: str, url: str = "", **changes: Any) -> bool:
        """Submit one job; True when it is new."""
        return (await self.transitions.submit_jobs([submission(job_id, url, **changes)]))[0]

    async def submit_many(self, jobs: Sequence[Submission]) -> None:
        for start in range(0, len(jobs), 500):
            await self.transitions.submit_jobs(jobs[start : start + 500])

    async def ask(self, worker: str = "w1", **changes: Any) -> LeaseReply:
        """Lease: by default 16 pages of up to 16 jobs, for an hour."""
        lease_ms = changes.pop("lease_ms", HOUR_MS)
        fields: dict[str, Any] = {
            "request_id": f"r{next(_numbers):04}",
            "pages": 16,
            "slots": 16,
            "pools": POOLS,
        }
        request = LeaseRequest(**fields | changes)
        return await self.transitions.lease_pages(worker, request, lease_ms)

    async def lease(self, worker: str = "w1", **changes: Any) -> list[LeasedPage]:
        """The pages of `ask`."""
        return (await self.ask(worker, **changes)).pages

    async def lease_one(self, worker: str = "w1", **changes: Any) -> LeasedPage:
        pages = await self.lease(worker, pages=1, **changes)
        assert len(pages) == 1, f"nothing to lease for {worker}"
        return pages[0]

    async def commit(self, worker: str, *pages: PageCommit) -> list[CommitOutcome]:
        return await self.transitions.commit_pages(worker, "{}", pages)

    async def end(
        self,
        worker: str,
        lease: LeasedPage,
        outcome: PageOutcome = PageOutcome.DONE,
        **changes: Any,
    ) -> CommitOutcome:
        """Commit one page."""
        return (await self.commit(worker, page_commit(lease, outcome, **changes)))[0]

    async def start_crawl(
        self, job_id: str, links: Sequence[str], worker: str = "w1", **changes: Any
    ) -> None:
        """Submit a crawl and commit its start page with these links."""
        await self.submit(job_id, **{"max_pages": 100, **changes})
        lease = await self.lease_one(worker, pools=[changes.get("pool", "full-crawl")])
        assert lease.job_id == job_id
        await self.end(worker, lease, links=links)

    async def drain(self, worker: str = "w1", limit: int = 1000) -> list[str]:
        """Lease and commit page by page until nothing more comes; the URLs in order."""
        urls: list[str] = []
        while len(urls) < limit:
            pages = await self.lease(worker, pages=1)
            if not pages:
                break
            urls += [page.url for page in pages]
            await self.commit(worker, *map(page_commit, pages))
        return urls
