"""A rolling upgrade: two releases work on one queue at once, and the jobs of both end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.processes import ROOT, kill_group, start, wait_until
from tests.support.site import serve, tree

PAGES = by_scale(150, 1_500)
SINGLES = by_scale(30, 300)


def next_release(folder: Path) -> Path:
    """A copy of the code whose scripts differ, so that they are another library in Redis."""
    for name in ("scraper", "supervisor"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "scrapy.cfg", folder)
    base = folder / "scraper" / "jobs" / "lua" / "shared" / "base.lua"
    base.write_text(f"{base.read_text()}\n-- of the next release\n")
    version = folder / "scraper" / "jobs" / "version.py"
    version.write_text('"""The version of this project."""\n\nVERSION = "0.2"\n')
    return folder


def committed_by(queue: QueueReader) -> set[str]:
    """The supervisors whose workers have committed pages."""
    events = queue.redis.xrange(f"{queue.prefix}events")
    texts = [fields[b"d"].decode() for _, fields in events]
    return {name for name in ("old", "new") if any(f'"{name}/worker' in text for text in texts)}


@pytest.mark.timeout(by_scale(180, 600))
def test_jobs_end_while_two_releases_work_on_them(
    place: QueuePlace, queue: QueueReader, tmp_path: Path
) -> None:
    folders = {"old": ROOT, "new": next_release(tmp_path / "next")}
    with serve(default=tree(PAGES, delay_s=0.1)) as site:
        queue.redis.function_flush()
        running = [
            start(
                "supervisor", "run", "--workers", "1", "--no-http",
                env=place.env(SUPERVISOR_NAME=name), cwd=folder,
            )
            for name, folder in folders.items()
        ]  # fmt: skip
        try:
            wait_until(lambda: len(queue.workers()) == 2, 90, "both lease")
            queue.push({"type": "full-crawl", "jobId": "crawl", "url": f"{site.url}/0",
                        "maxPages": 100_000, "turboMode": True})  # fmt: skip
            queue.push(
                *({"type": "single-page", "jobId": f"s{it}", "url": f"{site.url}/{it}"}
                  for it in range(SINGLES))
            )  # fmt: skip
            jobs = ["crawl", *(f"s{it}" for it in range(SINGLES))]
            wait_until(lambda: all(map(queue.has_ended, jobs)), 120, "all jobs end")
            reports = queue.redis.mget(f"{queue.prefix}supervisor:{it}" for it in folders)
        finally:
            for process in running:
                kill_group(process)
        assert {queue.state(job) for job in jobs} == {"completed"}
        queue.assert_whole("crawl", site.url, PAGES)
        assert committed_by(queue) == {"old", "new"}
        assert len(queue.redis.function_list()) == 2
        assert [json.loads(text)["version"] for text in reports][1] == "0.2"
