"""Makes URLs known to one job's frontier, through the commit of a page, as a crawl does."""

import asyncio
import os
from pathlib import Path

import redis.asyncio

from scraper.jobs.leases import LeaseRequest, Pace, PageCommit, PageOutcome
from scraper.jobs.transitions import Submission, Transitions

BATCH = 1_000


async def main() -> None:
    client = redis.asyncio.Redis.from_url(os.environ["BENCH_REDIS_URL"])
    urls = Path(os.environ["BENCH_URLS_FILE"]).read_text().split()
    frontier = Transitions(client, "scrape-queue")
    # Distinct, whatever is in the file.
    urls = list(dict.fromkeys(urls))
    await frontier.submit_jobs([_job(os.environ["BENCH_START_URL"] + "?start", len(urls))])
    for start in range(0, len(urls), BATCH):
        request = LeaseRequest(f"r{start}", 1, 1, ["full-crawl"])
        page = (await frontier.lease_pages("fill/1#1", request, 60_000)).pages[0]
        links = urls[start : start + BATCH]
        commit = PageCommit(page.token, PageOutcome.DONE, page.url, b"{}", links=links)
        await frontier.commit_pages("fill/1#1", "{}", [commit])
    await client.aclose()


def _job(url: str, pages: int) -> Submission:
    return Submission(
        job_id="memory", spec="{}", type="full-crawl", pool="full-crawl", customer_id="a",
        priority=0, start_url=url, max_pages=pages, max_duration_ms=3_600_000, attempts=1,
        backoff_type="fixed", backoff_ms=0, delay_ms=0, host_limit=1000, host_delay_ms=0,
        pace=Pace.NORMAL, result_ttl_ms=3_600_000,
    )  # fmt: skip


asyncio.run(main())
