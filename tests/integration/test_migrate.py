"""A queue moves between the embedded server and a real Redis, and back; the crawl ends there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scraper.jobs import Config, EmbeddedServer, open_queue
from scraper.jobs.migration import Migration, MigrationRefusedError
from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.support.figures import none_of, tell
from tests.support.processes import environment, run, wait_until
from tests.support.redis_server import debian_redis, running_server
from tests.support.site import Site, serve, tree

QUEUE = "scrape-queue"
WAITING = by_scale(300, 10_000)
PAGES = by_scale(150, 2_000)
CRAWL = {"type": "full-crawl", "jobId": "crawl", "maxPages": 100_000, "priority": 5}


@pytest.fixture
def real_redis() -> Iterator[str]:
    with running_server(debian_redis()) as url:
        yield url


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(default=tree(PAGES, delay_s=by_scale(0.1, 0.02))) as site:
        yield site


async def fill(url: str, site: Site) -> None:
    queue = await open_queue(Config(redis_url=url))
    await queue.add_jobs([{**CRAWL, "url": f"{site.url}/0", "customerId": "acme"}])
    for start in range(0, WAITING, 500):
        await queue.add_jobs(
            [
                {
                    "type": "single-page", "url": f"{site.url}/{start + number}",
                    "customerId": "acme", "jobId": f"single-{start + number}",
                }
                for number in range(min(500, WAITING - start))
            ]
        )  # fmt: skip
    await queue.shutdown()


def work_until(url: str, job_share: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Let a service work until that share of the crawl is done, and end it in order."""
    queue = QueueReader(url, QUEUE)
    with fleet(environment(url, HOST_CONCURRENCY="16"), workers=1) as running:
        wait_until(lambda: queue.redis.zcard(f"{queue.prefix}supervisors"), 60, "it reports")
        wait_until(lambda: queue.has_done("crawl", PAGES * job_share), 60, "the crawl goes on")
        meanwhile()
        assert running.terminate() == 0
    queue.close()


def migrate(source: str, target: str, *more: str) -> str:
    done = run(
        "supervisor", "migrate", "--from", source, "--to", target, *more,
        env=environment(None), timeout_s=300,
    )  # fmt: skip
    return f"{done.returncode} {done.stdout}{done.stderr}"


def assert_moved(said: str) -> None:
    """It ended well; large queues tell how far they are before."""
    assert said.startswith("0 "), said
    assert "moved " in said


async def move(source: str, target: str) -> None:
    """What `migrate` does, in this process."""
    old, new = [await open_queue(Config(redis_url=url)) for url in (source, target)]
    try:
        await Migration(old, new).run()
    finally:
        await new.shutdown()
        await old.shutdown()


def counts(url: str) -> dict[str, object]:
    queue = QueueReader(url, QUEUE)
    found: dict[str, object] = {
        state: sorted(queue.jobs(state)) for state in ("waiting", "active", "completed", "failed")
    }
    crawl = queue.counts("crawl")
    # Leases came back: they are queued again.
    crawl["queued"] += crawl.pop("leased")
    found |= {"crawl": crawl, "recorded": queue.recorded("crawl")}
    found["events"] = queue.redis.xlen(f"{queue.prefix}events")
    found["totals"] = queue.redis.hgetall(f"{queue.prefix}totals")
    queue.close()
    return found


@pytest.mark.timeout(by_scale(180, 900))
def test_half_done_crawl_moves_to_redis_and_back_and_ends_with_the_exact_set(
    real_redis: str, site: Site, tmp_path: Path
) -> None:
    with (
        EmbeddedServer.acquire(tmp_path / "old") as old,
        EmbeddedServer.acquire(tmp_path / "new") as new,
    ):

        def is_refused() -> None:
            with pytest.raises(MigrationRefusedError, match="end them first"):
                asyncio.run(move(old.url, real_redis))

        asyncio.run(fill(old.url, site))
        work_until(old.url, 0.3, meanwhile=is_refused)
        before = counts(old.url)
        began_s = time.monotonic()
        assert_moved(migrate(old.url, real_redis))
        took_s = time.monotonic() - began_s
        assert counts(real_redis) == before
        # The old queue leases nothing any more.
        assert QueueReader(old.url, QUEUE).redis.hget(f"{{{QUEUE}}}:meta", "paused") == b"1"
        work_until(real_redis, 0.6)
        before = counts(real_redis)
        assert_moved(migrate(real_redis, new.url))
        assert counts(new.url) == before
        queue = QueueReader(new.url, QUEUE)
        with fleet(environment(new.url, HOST_CONCURRENCY="16")):
            wait_until(lambda: queue.has_ended("crawl"), 120, "the crawl ends")
        queue.assert_whole("crawl", site.url, PAGES)
        queue.close()
    tell(
        "a queue moved twice in mid-crawl", f"{WAITING} jobs waiting, {took_s:.1f} s a move",
        none_of(PAGES, "pages lost or recorded twice"),
    )  # fmt: skip


@pytest.mark.timeout(by_scale(180, 900))
def test_migration_goes_on_where_it_broke_off_and_refuses_a_target_that_is_not_empty(
    real_redis: str, site: Site, tmp_path: Path
) -> None:
    with EmbeddedServer.acquire(tmp_path / "old") as old:
        asyncio.run(fill(old.url, site))
        target = QueueReader(real_redis, QUEUE)
        # Broken off in the middle: the marker is there, and some of the keys.
        target.redis.set(f"{target.prefix}migration", "under way")
        target.redis.hset(f"{target.prefix}totals", "jobs_submitted", 999)
        target.redis.rpush(f"{target.prefix}rejected", "half")
        asyncio.run(move(old.url, real_redis))
        assert counts(real_redis) == counts(old.url)
        assert not target.redis.exists(f"{target.prefix}migration")
        refused = migrate(old.url, real_redis)
        assert refused.startswith("1 "), refused
        assert "already" in refused
        assert_moved(migrate(old.url, real_redis, "--force"))
        assert not target.redis.hexists(f"{target.prefix}meta", "paused")
        assert counts(real_redis) == counts(old.url)
        target.close()
