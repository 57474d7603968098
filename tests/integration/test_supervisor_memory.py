"""Memory of real workers: relief, recycling, and that no page is lost or fetched twice by it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor import ScraperWorkerService
from supervisor.children import Slot
from tests.integration.conftest import QueuePlace
from tests.support.evil_spiders import COMMAND
from tests.support.figures import none_of, tell
from tests.support.services import Record, run, service_on, until
from tests.support.site import Answer, html, serve, tree

MIB = 2**20
OFTEN = 0.1


@pytest.fixture
def evil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers whose pages do harm as their path says."""
    monkeypatch.setattr("supervisor.process.WORKER_COMMAND", COMMAND)


def slot_of(service: ScraperWorkerService, number: int = 1) -> Slot:
    runtime = service._runtime
    assert runtime is not None
    return runtime.children.find(f"worker-{number}")


def test_workers_are_recycled_after_their_pages_and_none_is_fetched_twice(
    place: QueuePlace,
) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place, recycle_after_pages=40, health_interval_s=OFTEN)
        record = Record(service)
        async with service:
            job = await service.queue.add_job({"type": "full-crawl", "url": f"{url}/0"})
            result = await job.result(timeout=60)
            assert (result.status, result.pages_scraped) == ("completed", 150)
            await until(lambda: record.by_name["workerRecycled"], what="the event")
            assert slot_of(service).history.failures == 0
            worker_id = slot_of(service).name
        recycled = record.by_name["workerRecycled"]
        assert {event.worker_id for event in recycled} == {worker_id}
        assert all(event.reason.startswith("did ") for event in recycled)
        assert not record.by_name["workerError"]
        # A lone worker is stood in for: the spare is ready before the old one is asked to go.
        ready = [event.worker_id[-1] for event in record.by_name["workerReady"]]
        assert ready[:3] == ["1", "2", "1"]
        assert hits() == 150

    with serve(default=tree(150, delay_s=0.05)) as site:
        run(scenario(site.url, site.hits.total))


def test_garbage_is_given_back_when_memory_is_high(place: QueuePlace, evil: None) -> None:
    async def scenario(url: str) -> None:
        service = service_on(place, memory_threshold=0.01, health_interval_s=OFTEN)
        record = Record(service)
        async with service:
            await until(lambda: record.by_name["highMemoryUsage"], what="the threshold")
            first = service.get_memory_usage().workers
            assert not record.by_name["workerRecycled"]
            job = {"type": "single-page", "url": f"{url}/evil/litter/200"}
            await (await service.queue.add_job(job)).result(timeout=30)
            [(worker, before)] = first.items()
            await until(
                lambda: service.get_memory_usage().workers.get(worker, 2**40) < before + 50 * MIB,
                what="the memory is given back",
            )
            assert slot_of(service).restarts == 0, record.order

    with serve(default=lambda path: html()) as site:
        run(scenario(site.url))


def test_a_worker_over_its_limit_is_recycled_and_its_jobs_complete(
    place: QueuePlace, evil: None
) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(
            place, worker_memory_limit_bytes=256 * MIB, health_interval_s=OFTEN, concurrency=4
        )
        record = Record(service)
        async with service:
            jobs = [
                {"type": "single-page", "url": f"{url}/evil/leak/4/{number}"}
                for number in range(100)
            ]
            handles = await service.queue.add_jobs(jobs)
            results = [await handle.result(timeout=60) for handle in handles]
            await until(lambda: record.by_name["workerRecycled"], what="the recycling")
        assert {result.status for result in results} == {"completed"}
        assert not record.by_name["workerError"]
        assert hits() == 100

    def slow(path: str) -> Answer:
        page = html(title=path)
        page.delay_s = 0.2
        return page

    with serve(default=slow) as site:
        run(scenario(site.url, site.hits.total))


def crawl_with_an_allocating_page(place: QueuePlace, **arguments: Any) -> Record:
    """A crawl of which one page takes memory without end: that one is quarantined, the others
    complete."""

    async def scenario(url: str) -> None:
        job = {"type": "full-crawl", "url": f"{url}/", "turboMode": True, "attempts": 1}
        async with service:
            result = await (await service.queue.add_job(job)).result(timeout=100)
            assert (result.status, result.pages_scraped) == ("completed", 21)
            [error] = result.errors
            assert error["url"].endswith("/evil/allocate/0")
            assert error["code"] == "quarantined"

    def answer(path: str) -> Answer:
        links = [f"/{number}" for number in range(20)]
        return html("/evil/allocate/0", *links) if path == "/" else html(title=path)

    service = service_on(place, **arguments)
    record = Record(service)
    with serve(default=answer) as site:
        run(scenario(site.url))
    return record


def tell_deaths(fault: str, record: Record) -> None:
    deaths = len(record.by_name["workerError"])
    tell(fault, f"quarantined after {deaths} deaths", none_of(21, "other pages lost"))


@pytest.mark.timeout(150)
def test_a_page_that_allocates_without_end_is_quarantined(place: QueuePlace, evil: None) -> None:
    record = crawl_with_an_allocating_page(place, worker_memory_limit_bytes=256 * MIB)
    # At most one death beside others, then three alone.
    assert 3 <= len(record.by_name["workerError"]) <= 4
    assert all("far beyond its limit" in event.error for event in record.by_name["workerError"])
    tell_deaths("a page that takes memory without end, beyond its worker's limit", record)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 400 MiB, where one can be made (v1 or v2)."""
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        folder = root / f"scraper-workers-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            folder.mkdir()
            try:
                (folder / limit).write_text(str(400 * MIB))
                swap = folder / "memory.swap.max"
                if swap.exists():
                    swap.write_text("0")
                yield folder
                return
            finally:
                folder.rmdir()
    pytest.skip("no control group can be made here")


@pytest.mark.timeout(150)
def test_a_page_that_allocates_beyond_its_container_is_quarantined(
    place: QueuePlace, group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    monkeypatch.setattr(
        "supervisor.process.WORKER_COMMAND", ("/bin/sh", "-c", join, "sh", *COMMAND)
    )
    record = crawl_with_an_allocating_page(place)
    assert 3 <= len(record.by_name["workerError"]) <= 4
    assert all("SIGKILL" in event.error for event in record.by_name["workerError"])
    tell_deaths("a page that takes memory without end, beyond its control group's limit", record)
