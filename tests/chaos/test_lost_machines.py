"""Three machines on one queue: one is cut off from Redis, one loses power; nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.support.machines import Network, network
from tests.support.processes import environment, wait_until
from tests.support.redis_server import free_port, server_process, short_folder
from tests.support.site import Answer, serve, tree

QUEUE = "scrape-queue"
PAGES = by_scale(1_000, 3_000)
# A busy machine must not pass for a stuck worker.
LEASE_S = 12
# Enough for all workers to have as many pages as they take, with as many links behind them.
OPEN_PAGES = 111
CRAWL = {"type": "full-crawl", "jobId": "crawl", "maxPages": 100_000, "turboMode": True}


class HeldSite:
    """A tree of pages; after the first ones, it answers nothing until `gate` opens. The first page
    that is asked for again is kept until `is_back`: the crawl cannot end before."""

    def __init__(self) -> None:
        self.gate, self.is_back = threading.Event(), threading.Event()
        self._page = tree(PAGES)
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._has_kept = False

    def answer(self, path: str) -> Answer:
        with self._lock:
            is_kept = path in self._asked and not self._has_kept
            self._has_kept |= is_kept
            self._asked.add(path)
        if is_kept:
            self.is_back.wait(120)
        elif int(path.strip("/")) >= OPEN_PAGES:
            self.gate.wait(120)
        return self._page(path)


def names(queue: QueueReader) -> list[str]:
    return sorted(name.decode() for name in queue.redis.zrange(f"{queue.prefix}supervisors", 0, -1))


def workers_of(queue: QueueReader, supervisor: str) -> list[str]:
    """Its worker instances that hold pages."""
    return [
        name
        for name in queue.workers()
        if name.startswith(f"{supervisor}/") and queue.redis.exists(f"{queue.prefix}leases:{name}")
    ]


def start_all(net: Network, url: str, queue: QueueReader) -> list[str]:
    """One supervisor a machine, all of the same host name; their names in that order."""
    started: list[str] = []
    for machine in net.machines:
        env = environment(
            url, QUEUE_NAME=QUEUE, LEASE=str(LEASE_S * 1000), STALL_TIMEOUT="9", PARSE_LIMIT="4",
            ALLOW_PRIVATE_HOSTS="10.0.0.0/8", HOST_CONCURRENCY_TURBO="500", PAGE_CONCURRENCY="8",
        )  # fmt: skip
        machine.start("supervisor", "run", "--workers", "2", "--no-http", env=env)
        wait_until(lambda: len(names(queue)) > len(started), 60, "the machine reports")
        started += set(names(queue)) - set(started)
    wait_until(lambda: len(queue.workers()) == 6, 90, "six workers lease")
    return started


def taken_over(queue: QueueReader, workers: Sequence[str]) -> bool:
    return not any(queue.redis.exists(f"{queue.prefix}leases:{worker}") for worker in workers)


@pytest.mark.timeout(by_scale(240, 600))
def test_pages_of_lost_machines_are_taken_over_and_late_commits_are_refused(tmp_path: Path) -> None:
    with network(3, tmp_path) as net, short_folder() as folder:
        port = free_port()
        url = f"redis://{net.redis_address}:{port}"
        arguments = ["--port", str(port), "--bind", net.redis_address, "--protected-mode", "no"]
        held = HeldSite()
        with (
            server_process(folder, arguments, url),
            serve(default=held.answer, host=net.site_address) as site,
        ):
            queue = QueueReader(url, QUEUE)
            cut_off, dead, alive = start_all(net, url, queue)
            assert len({cut_off, dead, alive}) == 3, "one host name, three names"
            queue.push({**CRAWL, "url": f"{site.url}/0"})
            wait_until(
                lambda: all(len(workers_of(queue, it)) == 2 for it in (cut_off, dead, alive)), 60,
                "all machines have pages",
            )  # fmt: skip
            lost = [*workers_of(queue, cut_off), *workers_of(queue, dead)]
            net.machines[0].lose(net.redis_address)
            net.machines[1].power_off()
            held.gate.set()
            lost_s = time.monotonic()
            wait_until(lambda: taken_over(queue, lost), 60, "pages come back")
            took_s = time.monotonic() - lost_s
            assert not queue.has_ended("crawl"), "lost in mid-crawl"
            net.machines[0].find(net.redis_address)
            held.is_back.set()
            wait_until(lambda: queue.has_ended("crawl"), 120, "the crawl ends")
            wait_until(lambda: cut_off in names(queue), 60, "the machine is back")
            totals = queue.redis.hgetall(f"{queue.prefix}totals")
            queue.assert_whole("crawl", site.url, PAGES)
            # Each page was committed by one holder only: what came late changed nothing.
            assert int(totals[b"pages_committed"]) == PAGES
            wait_until(
                lambda: b"taken for dead" in net.machines[0].log.read_bytes(), 60,
                "its workers hear of it",
            )  # fmt: skip
            repeats = site.hits.total() - len(site.hits)
            print(json.dumps({"pages": PAGES, "takeoverS": round(took_s, 1), "again": repeats}))
            queue.close()
