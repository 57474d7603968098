"""What users of such services test first, through the public Python API."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from scraper.jobs import get_queue_manager, load_config
from supervisor import ScraperWorkerService
from tests.integration.conftest import QueuePlace
from tests.support.evil_spiders import COMMAND
from tests.support.services import Record, pids, run, service_on, until
from tests.support.site import html, serve


def test_start_raises_started(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, worker_count=2)
        record = Record(service)
        await service.start()
        [started] = record.by_name["started"]
        assert (started.worker_count, started.supervisor) == (2, service.name)
        await service.stop()
        assert record.order[-1] == "shutdown"

    run(scenario())


def test_the_service_is_healthy_again_after_a_worker_error(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, worker_count=2)
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["workerReady"]) == 2, what="both are ready")
            victim, pid = min(pids(service).items())
            psutil.Process(pid).kill()
            await until(lambda: record.by_name["workerError"], what="the error")
            during = await service.get_health_status()
            # One of two works: that is no fault of the service.
            assert during.healthy, during.problems
            assert during.redis_connected
            await until(lambda: len(record.by_name["workerReady"]) == 3, what="the new one")
            after = await service.get_health_status()
            assert (after.healthy, after.total_workers, after.active_workers) == (True, 2, 2)
            [worker] = [worker for worker in after.workers if worker.id == victim]
            assert worker.restarts == 1
            assert "SIGKILL" in str(worker.last_exit)
        assert record.by_name["workerError"][0].worker_id == victim

    run(scenario())


def test_a_users_own_emit_reaches_listeners_and_changes_no_health(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place)
        record = Record(service)
        async with service:
            assert service.emit("workerError", workerId="worker-1", error="mine")
            assert [event.error for event in record.by_name["workerError"]] == ["mine"]
            health = await service.get_health_status()
            assert health.healthy
            assert health.workers[0].restarts == 0

    run(scenario())


def test_high_memory_usage_is_raised_with_a_threshold_of_a_hundredth(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, memory_threshold=0.01, health_interval_s=0.1)
        record = Record(service)
        async with service:
            await until(lambda: record.by_name["highMemoryUsage"], what="the event")
            usage = service.get_memory_usage()
            [high] = record.by_name["highMemoryUsage"]
            # This process's own memory counts in both, and changes.
            assert abs(high.total - usage.total) < 64 * 2**20
            assert 1 < high.percent_used <= 100
            assert abs(high.percent_used - 100 * high.used / high.total) < 0.01
            await until(lambda: len(record.by_name["healthUpdate"]) > 20, what="more readings")
        # Near their baseline, workers are left alone.
        assert not record.by_name["workerRecycled"]
        assert not record.by_name["workerError"]

    run(scenario())


def test_a_job_from_the_queue_manager_ends_with_worker_completed(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        config = load_config({}, redis_url=place.url, queue_name=place.name)
        queue = get_queue_manager(config)
        await queue.initialize()
        service = service_on(place)
        record = Record(service)
        async with service:
            job = await queue.add_job({"type": "single-page", "url": url, "customerId": "acme"})
            result = await job.result(timeout=30)
            assert (result.status, result.pages_scraped) == ("completed", 1)
            await until(lambda: record.by_name["workerCompleted"], what="the event")
        [active], [completed] = record.by_name["workerActive"], record.by_name["workerCompleted"]
        assert active.job_id == completed.job_id == job.id
        assert active.worker_id == completed.worker_id
        assert completed.result.pages_scraped == 1
        await queue.shutdown()

    with serve({"/": html(title="Hello")}) as site:
        run(scenario(f"{site.url}/"))


def test_a_hundred_jobs_with_four_workers_of_two(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        service = ScraperWorkerService(
            load_config({}, allow_private_hosts="127.0.0.0/8", log_level="warning"),
            worker_count=4, concurrency=2, queue_name=place.name, redis_url=place.url,
            memory_threshold=0.8, max_job_duration=900_000,
        )  # fmt: skip
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["workerReady"]) == 4, what="four workers")
            jobs = [{"type": "single-page", "url": f"{url}/{number}"} for number in range(100)]
            handles = await service.queue.add_jobs(jobs)
            results = [await handle.result(timeout=60) for handle in handles]
            assert [result.status for result in results] == ["completed"] * 100
            await until(lambda: len(record.by_name["workerCompleted"]) == 100, what="the events")
        completed = record.by_name["workerCompleted"]
        assert {event.job_id for event in completed} == {handle.id for handle in handles}
        assert len({event.worker_id for event in completed}) > 1
        assert not record.by_name["workerError"]
        assert not record.by_name["workerFailed"]

    with serve(default=lambda path: html(title=path)) as site:
        run(scenario(site.url))


def test_each_line_of_a_worker_names_the_page_that_it_is_about(
    place: QueuePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.process.WORKER_COMMAND", COMMAND)
    log = tmp_path / "workers.log"

    async def scenario(url: str) -> None:
        service = service_on(place, worker_log=log, log_level="info")
        async with service:
            job = await service.queue.add_job(
                {"type": "single-page", "url": url, "customerId": "acme", "attempts": 1}
            )
            assert (await job.result(timeout=30)).status == "failed"
            worker_id = f"{service.name}/worker-1"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        # Scrapy's own line about a callback that raises an error.
        [line] = [line for line in lines if "invalid literal" in line.get("exception", "")]
        assert line["level"] == "error"
        facts = {name: line[name] for name in ("worker", "job", "customer", "url")}
        assert facts == {"worker": worker_id, "job": job.id, "customer": "acme", "url": url}
        assert {line["worker"] for line in lines} == {worker_id}
        assert not [line for line in lines if "Overridden settings" in line["event"]]

    with serve(default=lambda path: html()) as site:
        run(scenario(f"{site.url}/evil/leak/many"))
