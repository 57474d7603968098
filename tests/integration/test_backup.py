"""Backups as docs/operations.md tells to make them, in mid-crawl, and what a restore gives back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scraper.jobs import EmbeddedServer
from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.support.processes import environment, wait_until
from tests.support.redis_server import debian_redis, free_port, libraries, server_process
from tests.support.server_kinds import PASSWORD, write_acl
from tests.support.site import Site, serve, tree

QUEUE = "scrape-queue"
PAGES = 400
CRAWL = {"type": "full-crawl", "jobId": "crawl", "maxPages": 100_000, "turboMode": True}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(default=tree(PAGES, delay_s=0.3)) as site:
        yield site


@contextmanager
def crawling(url: str, share: float) -> Iterator[QueueReader]:
    """A service that has done that share of the crawl; it goes on while the block runs."""
    queue = QueueReader(url, QUEUE)
    with fleet(environment(url)):
        wait_until(lambda: queue.has_done("crawl", PAGES * share), 60, "the crawl goes on")
        yield queue
    queue.close()


def assert_the_crawl_ends(url: str, site: Site) -> None:
    queue = QueueReader(url, QUEUE)
    done = queue.done("crawl")
    assert 0 < done < PAGES, "the backup is of mid-crawl"
    with fleet(environment(url)):
        wait_until(lambda: queue.has_ended("crawl"), 90, "the crawl ends")
    queue.assert_whole("crawl", site.url, PAGES)
    queue.close()


def test_a_copy_of_the_data_folder_made_while_it_runs_can_be_worked_on(
    site: Site, tmp_path: Path
) -> None:
    copy = tmp_path / "restored"
    with EmbeddedServer.acquire(tmp_path / "data") as server:
        QueueReader(server.url, QUEUE).push({**CRAWL, "url": f"{site.url}/0"})
        with crawling(server.url, 0.2) as queue:
            queue.redis.config_set("auto-aof-rewrite-percentage", 0)
            wait_until(lambda: not queue.redis.info("persistence")["aof_rewrite_in_progress"])
            shutil.copytree(tmp_path / "data" / "appendonlydir", copy / "appendonlydir")
            queue.redis.config_set("auto-aof-rewrite-percentage", 100)
            # What happens after the backup is lost with the machine.
            wait_until(lambda: queue.has_done("crawl", PAGES * 0.5), 60, "the crawl goes on")
    with EmbeddedServer.acquire(copy) as server:
        assert_the_crawl_ends(server.url, site)


def test_a_snapshot_of_a_redis_at_work_can_be_worked_on(site: Site, tmp_path: Path) -> None:
    client = debian_redis().with_name("redis-cli")
    folder = tmp_path / "new"
    with server_on(tmp_path / "old") as port:
        url = url_of("admin", port)
        QueueReader(url, QUEUE).push({**CRAWL, "url": f"{site.url}/0"})
        with crawling(url, 0.2):
            subprocess.run(
                [str(client), "-u", url_of("backup", port), "--rdb", str(tmp_path / "backup.rdb")],
                check=True, capture_output=True, timeout=60,
                env={**os.environ, **libraries(client)},
            )  # fmt: skip
    folder.mkdir()
    shutil.copy(tmp_path / "backup.rdb", folder / "dump.rdb")
    with server_on(folder) as port:
        queue = QueueReader(url_of("admin", port), QUEUE)
        queue.redis.config_set("appendonly", "yes")
        wait_until(lambda: not rewrites(queue), 60, "the append-only file is written")
        queue.close()
    with server_on(folder, "--appendonly", "yes") as port:
        assert_the_crawl_ends(url_of("admin", port), site)


def rewrites(queue: QueueReader) -> bool:
    seen = queue.redis.info("persistence")
    return bool(seen["aof_rewrite_in_progress"] or seen["aof_rewrite_scheduled"])


def url_of(user: str, port: int) -> str:
    return f"redis://{user}:{PASSWORD}@127.0.0.1:{port}"


@contextmanager
def server_on(folder: Path, *more: str) -> Iterator[int]:
    """The port of a Redis 7 with this folder and the shipped ACL file."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    arguments = [
        "--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0",
        "--aclfile", str(write_acl(folder)), *more,
    ]  # fmt: skip
    with server_process(folder, arguments, url_of("admin", port), debian_redis()):
        yield port
