"""Redis is killed, or full, in mid-crawl: workers wait, nothing accepted is lost, it goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
import redis

from scraper.jobs import EmbeddedServer
from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.support.figures import none_of, tell
from tests.support.processes import environment, run, wait_until
from tests.support.site import serve, tree

QUEUE = "scrape-queue"
PAGES = by_scale(600, 5_000)
KILLS = by_scale(2, 20)
# A busy machine must not pass for a stuck worker.
LEASE_MS = by_scale(8_000, 20_000)
TIMES = by_scale(
    {"PARSE_LIMIT": "2", "STALL_TIMEOUT": "7"}, {"PARSE_LIMIT": "5", "STALL_TIMEOUT": "15"}
)
CRAWL = {"type": "full-crawl", "jobId": "crawl", "maxPages": 100_000, "turboMode": True}


@dataclass(frozen=True, slots=True)
class OwnServer:
    """An embedded server that a test may hurt."""

    embedded: EmbeddedServer
    queue: QueueReader

    def env(self, **more: str) -> dict[str, str]:
        return environment(None, DATA_DIR=str(self.embedded.data_dir), **more)

    @property
    def pid(self) -> int:
        return int(self.queue.redis.info("server")["process_id"])

    def is_not(self, pid: int) -> bool:
        """Whether it is another process than that one."""
        return self.pid != pid

    def has_workers(self) -> bool:
        """Whether both workers have asked for work."""
        return len(self.queue.workers()) == 2

    @property
    def used_bytes(self) -> int:
        return int(self.queue.redis.info("memory")["used_memory"])

    def limit(self, maxmemory_bytes: int) -> None:
        self.queue.redis.config_set("maxmemory", maxmemory_bytes)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    with EmbeddedServer.acquire(tmp_path / "data") as embedded:
        queue = QueueReader(embedded.url, QUEUE)
        yield OwnServer(embedded, queue)
        queue.close()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


@pytest.mark.timeout(by_scale(90, 300))
def test_a_crawl_outlives_kills_of_its_server(server: OwnServer) -> None:
    queue = server.queue
    with serve(default=tree(PAGES, delay_s=0.03)) as site, fleet(server.env()) as running:
        wait_until(server.has_workers, 60, "workers are ready")
        queue.push({**CRAWL, "url": f"{site.url}/0"})
        for number in range(KILLS):
            moment = PAGES * (number + 0.5) / (KILLS + 1)
            wait_until(partial(queue.has_done, "crawl", moment), 60, "the crawl goes on")
            assert not queue.has_ended("crawl")
            pid = server.pid
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(is_gone, pid), 5, "the server dies")
            wait_until(partial(server.is_not, pid), 60, "the server is back")
        before = [worker.pid for worker in running.workers]
        wait_until(lambda: queue.has_ended("crawl"), 60, "the crawl ends")
        assert [worker.pid for worker in running.workers] == before
        queue.assert_whole("crawl", site.url, PAGES)
        repeats = site.hits.total() - len(site.hits)
        tell(
            f"embedded server killed {KILLS} times", none_of(PAGES, "pages lost or recorded twice"),
            f"{repeats} fetches repeated",
        )  # fmt: skip
        assert repeats <= KILLS * 2 * 16


def is_full(client: redis.Redis) -> bool:
    try:
        client.set("probe", "x")
    except redis.exceptions.OutOfMemoryError:
        return True
    return False


@pytest.mark.timeout(120)
def test_a_full_server_refuses_submits_and_loses_nothing(server: OwnServer) -> None:
    queue = server.queue
    env = server.env(LEASE=str(LEASE_MS), **TIMES)
    with serve(default=tree(PAGES, delay_s=0.03)) as site, fleet(env) as running:
        wait_until(server.has_workers, 60, "workers are ready")
        queue.push({**CRAWL, "url": f"{site.url}/0"})
        wait_until(lambda: queue.done("crawl") >= PAGES / 10, 60, "the crawl runs")
        workers = [worker.pid for worker in running.workers]
        server.limit(server.used_bytes // 2)
        assert is_full(queue.redis)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            queue.push(f"{site.url}/raw")
        assert_submit_is_refused(server, f"{site.url}/1")
        outlast_leases()
        assert queue.done("crawl") < PAGES
        assert shortest_lease_ms(queue) > 0, "a full server takes no worker for dead"
        server.limit(0)
        wait_until(lambda: queue.has_ended("crawl"), 60, "the crawl goes on and ends")
        assert [worker.pid for worker in running.workers] == workers
        queue.assert_whole("crawl", site.url, PAGES)
        assert max(site.hits.values()) == 1
        tell(
            f"no room for data for {1.5 * LEASE_MS / 1000:g} s",
            none_of(PAGES, "pages lost, recorded twice or fetched twice"),
        )  # fmt: skip


def outlast_leases() -> None:
    """Until what was leased before would be over, had nobody extended it."""
    began_s = time.monotonic()
    wait_until(lambda: time.monotonic() > began_s + 1.5 * LEASE_MS / 1000, 60, "leases are old")


def shortest_lease_ms(queue: QueueReader) -> float:
    """What is left of the leases of the worker with pages that was heard of the longest ago."""
    seconds, micros = queue.redis.time()
    ends = queue.redis.zrange(f"{queue.prefix}workers", 0, -1, withscores=True)
    with_pages = [
        end for name, end in ends if queue.redis.exists(f"{queue.prefix}leases:{name.decode()}")
    ]
    assert with_pages
    return float(min(with_pages) - (seconds * 1000 + micros / 1000))


def assert_submit_is_refused(server: OwnServer, url: str) -> None:
    refused = run("supervisor", "submit", "single-page", url, "--job-id", "no", env=server.env())
    assert refused.returncode == 1
    assert "nearly full" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert server.queue.state("no") is None


@pytest.mark.timeout(120)
def test_a_push_that_finds_no_room_is_kept_and_runs_when_there_is_room(server: OwnServer) -> None:
    queue = server.queue
    env = server.env(LEASE=str(LEASE_MS), **TIMES)
    with serve(default=tree(10)) as site, fleet(env) as running:
        queue.push(f"{site.url}/1")
        wait_until(lambda: len(queue.jobs("completed")) == 1, 60, "the service runs")
        wait_until(lambda: len(queue.workers()) == 2, 60, "both came up")
        # Submits end at 0.9 of the limit; the server itself takes more.
        server.limit(int(server.used_bytes / 0.95))
        queue.push(*(f"{site.url}/{number}" for number in range(2, 5)))
        wait_until(lambda: queue.redis.hlen(f"{queue.prefix}claimed") == 3, 60, "they are claimed")
        assert queue.jobs("waiting") == []
        workers = [worker.pid for worker in running.workers]
        # So full that even a question for work is refused: who has none is not stuck for it.
        server.limit(server.used_bytes // 2)
        outlast_leases()
        assert [worker.pid for worker in running.workers] == workers
        server.limit(0)
        wait_until(lambda: len(queue.jobs("completed")) == 4, 60, "they run")
        assert running.is_alive
        assert max(site.hits.values()) == 1
