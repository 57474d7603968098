"""`python -m benchmarks.dashboard`: the dashboard and the HTTP API in front of a large queue.

Fills a queue with many waiting jobs and one job with many recorded pages, then measures in Chromium
the first paint and the longest script task of each view, and the memory of the supervisor and of
its HTTP process while all records are streamed. Needs Debian's chromium and the `playwright` of
requirements-dev.txt. Both times are by the wall clock: other work on the machine is in them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import psutil
from playwright.async_api import Page, async_playwright

from benchmarks.web_server import free_port
from scraper.jobs import JobQueue, load_config, open_queue
from scraper.jobs.leases import LeaseRequest, PageCommit, PageOutcome

ROOT = Path(__file__).parents[1]
BATCH = 1_000
MIB = 1024 * 1024
BIG = "big"
TABS = ("errors", "filtered", "data", "events", "webhook", "explain")
VIEWS = (
    "",
    "#/jobs",
    "#/jobs?state=waiting&customer=customer-7",
    f"#/jobs/{BIG}",
    *(f"#/jobs/{BIG}?tab={tab}" for tab in TABS),
    "#/workers",
    "#/hosts",
    "#/events",
    "#/rejected",
)
# A view is watched for so long: those that are drawn anew are, at least once.
WATCHED_S = 4.5
# How often "More" is pressed below the pages of the large job.
MORE = 10
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
WATCH = """
window.longest = 0;
new PerformanceObserver(list => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({type: 'longtask', buffered: true});
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


async def fill(queue: JobQueue, jobs: int, pages: int) -> None:
    """One job with `pages` records, then `jobs` that wait."""
    await queue.add_job(
        {"type": "full-crawl", "url": "https://big.test/", "customerId": "acme", "jobId": BIG,
         "maxPages": pages + 1}
    )  # fmt: skip
    frontier, worker = queue.transitions, "fill/worker-1#1"
    text = json.dumps({"url": "https://big.test/", "status": 200, "title": "x", "text": "y" * 800})
    known = done = turn = 0
    while done < pages:
        turn += 1
        request = LeaseRequest(f"r{turn}", BATCH, 1, ["full-crawl"])
        leased = (await frontier.lease_pages(worker, request, 600_000)).pages
        if not leased:
            await asyncio.sleep(0.01)
            continue
        commits = []
        for page in leased:
            links = [f"https://big.test/{known + n}" for n in range(BATCH) if known + n < pages]
            links = links if known < pages and done + len(leased) < pages else []
            known += len(links)
            record = text.encode()
            commits.append(PageCommit(page.token, PageOutcome.DONE, page.url, record, links=links))
        await frontier.commit_pages(worker, "{}", commits)
        done += len(commits)
    await queue.pause_queue()
    for first in range(0, jobs, BATCH):
        many = [
            {"type": "single-page", "url": f"https://host-{n % 500}.test/{n}",
             "customerId": f"customer-{n % 40}"}
            for n in range(first, min(first + BATCH, jobs))
        ]  # fmt: skip
        await queue.add_jobs(many)


async def measure(page: Page, url: str, view: str) -> tuple[float, float]:
    """First paint and longest script task of a view in ms; tasks below 50 ms are none."""
    await page.goto("about:blank")
    await page.goto(f"{url}/{view}")
    await page.wait_for_selector("h1")
    await asyncio.sleep(WATCHED_S)
    return float(await page.evaluate(PAINT)), float(await page.evaluate("window.longest"))


async def turn_over(page: Page) -> float:
    """Press "More" again and again: the longest script task meanwhile, in ms."""
    for number in range(2, MORE + 2):
        await page.get_by_role("button", name="More").click()
        await page.get_by_text(f"part {number}").wait_for()
    return float(await page.evaluate("window.longest"))


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.0f} (at most {max(values):.0f})"


async def browse(url: str, rounds: int) -> None:
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        if path is None:
            raise SystemExit("error: there is no chromium: apt-get install chromium")
        chromium = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = await chromium.new_page()
        await page.add_init_script(WATCH)
        print("| view | first paint, ms | longest script task, ms |\n|---|---|---|")
        for view in VIEWS:
            seen = [await measure(page, url, view) for _ in range(rounds)]
            paints, tasks = zip(*seen, strict=True)
            print(f"| /{view} | {_spread(paints)} | {_spread(tasks)} |", flush=True)
        await measure(page, url, f"#/jobs/{BIG}")
        print(f"| the same, {MORE} times More | | {await turn_over(page):.0f} |", flush=True)
        await chromium.close()


def stream_all(url: str, watched: dict[str, psutil.Process]) -> None:
    """Fetch all records as NDJSON; the memory of processes before and at its highest."""
    before = {name: process.memory_info().rss for name, process in watched.items()}
    highest = dict(before)
    lines, started_s = 0, time.monotonic()
    with urllib.request.urlopen(f"{url}/jobs/{BIG}/data?format=ndjson") as answer:
        for lines, _ in enumerate(answer, 1):
            if lines % 2000 == 0:
                for name, process in watched.items():
                    highest[name] = max(highest[name], process.memory_info().rss)
    print(f"\n{lines:,} records streamed in {time.monotonic() - started_s:.1f} s")
    for name, size in before.items():
        print(
            f"memory of the {name}: {size / MIB:.1f} MiB before, {highest[name] / MIB:.1f} at most"
        )


async def run(jobs: int, pages: int, rounds: int, folder: str) -> None:
    config = load_config(
        {}, data_dir=folder, max_job_duration_ms=86_400_000, host_concurrency=BATCH
    )
    queue = await open_queue(config)
    started_s = time.monotonic()
    await fill(queue, jobs, pages)
    took_s = time.monotonic() - started_s
    print(f"filled with {jobs:,} jobs and {pages:,} pages in {took_s:.0f} s", flush=True)
    port = free_port()
    command = [sys.executable, "-m", "supervisor", "run", "--data-dir", folder, "--workers", "1",
               "--port", str(port)]  # fmt: skip
    service = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "LOG_LEVEL": "error"})
    try:
        url = f"http://127.0.0.1:{port}"
        await _until_up(url)
        await browse(url, rounds)
        supervisor = psutil.Process(service.pid)
        [server] = [
            child for child in supervisor.children(recursive=True)
            if "supervisor.http" in child.cmdline()
        ]  # fmt: skip
        watched = {"supervisor": supervisor, "HTTP process": server}
        await asyncio.to_thread(stream_all, url, watched)
    finally:
        service.terminate()
        service.wait(60)
        await queue.shutdown()


async def _until_up(url: str) -> None:
    for _ in range(600):
        try:
            await asyncio.to_thread(urllib.request.urlopen, f"{url}/health/ready")
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise SystemExit("error: the service does not start")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="how often each view is opened")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(chosen.jobs, chosen.pages, chosen.rounds, folder))


if __name__ == "__main__":
    main()
