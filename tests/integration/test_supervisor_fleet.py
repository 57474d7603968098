"""Several supervisors on one queue: what each tells the others, through Redis."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from scraper.jobs import EventReader
from scraper.jobs.history import read_history
from supervisor import HealthStatus, ScraperWorkerService
from supervisor.events import HealthUpdate
from supervisor.fleet_report import read_reports
from tests.integration.conftest import QueuePlace
from tests.support.services import Record, run, service_on, until
from tests.support.site import Answer, html, serve


def test_events_of_another_machine_are_heard_once_and_own_ones_too(place: QueuePlace) -> None:
    async def scenario() -> None:
        first, second = service_on(place), service_on(place)
        own, everything = Record(first), Record(first, "queue")
        async with first:
            async with second:
                away = second.name
                await until(
                    lambda: away in {it.supervisor for it in everything.by_name["healthUpdate"]},
                    what="the other's health",
                )
            await until(lambda: everything.by_name["shutdown"], what="the other's end")
            kinds = ("workerReady", "started", "shuttingDown", "workerClosed", "shutdown")
            theirs = [name for name in everything.order if name in kinds]
            assert theirs == ["workerReady", "started", *kinds]
            update, *_ = [
                event for event in everything.by_name["healthUpdate"] if event.supervisor == away
            ]
            assert isinstance(update, HealthUpdate)
            assert isinstance(update.health, HealthStatus)
            assert update.health.workers[0].id == f"{away}/worker-1"
            assert not own.by_name["shutdown"]
            assert [event.worker_id for event in own.by_name["workerReady"]] == [
                f"{first.name}/worker-1"
            ]

    run(scenario())


def test_what_happened_to_a_service_is_in_the_stream_after_its_end(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, health_interval_s=0.05)
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["healthUpdate"]) > 5, what="health")
        async with service:
            reader = EventReader(service.queue.blocking, place.name, "0-0")
            events = [event for event in await reader.read() if event.origin]
            first = [event for event in events if event.origin == events[0].origin]
            assert [event.name for event in first] == [
                "workerReady", "started", "healthUpdate", "shuttingDown", "workerClosed",
                "shutdown",
            ]  # fmt: skip
            assert first[1].detail["supervisor"] == service.name

    run(scenario())


def test_the_report_says_what_each_worker_has_in_hand(place: QueuePlace) -> None:
    may_answer = threading.Event()

    def slow(path: str) -> Answer:
        may_answer.wait(30)
        return html()

    async def busy_report(service: ScraperWorkerService) -> dict[str, Any]:
        [report] = await read_reports(service.queue)
        while not (report["memory"] and any(worker["jobs"] for worker in report["workers"])):
            await asyncio.sleep(0.05)
            [report] = await read_reports(service.queue)
        return report

    async def scenario(url: str) -> None:
        async with service_on(place, worker_count=2) as service:
            await service.queue.add_job({"type": "single-page", "url": url, "jobId": "slow"})
            async with asyncio.timeout(20):
                report = await busy_report(service)
            may_answer.set()
            assert (report["name"], report["takesOrders"]) == (service.name, True)
            assert len(report["workers"]) == 2
            [worker] = [worker for worker in report["workers"] if worker["jobs"]]
            assert (worker["state"], worker["jobs"], worker["pages"]) == ("running", ["slow"], 1)
            assert 2**20 < worker["memoryBytes"] < worker["memoryLimitBytes"]
            health = HealthStatus.from_json(report["health"])
            assert health.healthy, health.problems
            assert health.queue is not None
            assert health.queue.redis.eviction_policy == "noeviction"
            assert health.to_json() == report["health"]
            points = await read_history(service.queue.redis, service.queue.transitions.keys)
            assert points[0].workers == 2

    with serve(default=slow) as site:
        try:
            run(scenario(f"{site.url}/"))
        finally:
            may_answer.set()
