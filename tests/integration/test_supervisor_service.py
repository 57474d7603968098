"""The service in this process, with real workers, a real server, a real site."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from scraper.jobs import EmbeddedServer, RedisUnreachableError
from supervisor import ScraperWorkerService, start_worker_service
from supervisor.cgroup import memory_limit_bytes
from supervisor.events import WorkerCompleted, WorkerFailed
from supervisor.exits import EXIT_CONFIGURATION
from supervisor.policy import RestartLimits
from supervisor.service import ServiceNotRunningError, WorkerStartError
from tests.integration.conftest import QueuePlace
from tests.support.processes import PATIENCE_S
from tests.support.services import Record, pids, run, service_on, until
from tests.support.site import html, serve, tree


def test_a_job_runs_end_to_end_and_its_events_tell(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        service = service_on(place)
        record = Record(service)
        async with service:
            job = await service.queue.add_job(
                {"type": "full-crawl", "url": f"{url}/0", "customerId": "acme"}
            )
            result = await job.result(timeout=30)
            await until(lambda: record.by_name["workerCompleted"], what="the event")
            [completed] = record.by_name["workerCompleted"]
            assert isinstance(completed, WorkerCompleted)
            assert completed.worker_id == f"{service.name}/worker-1"
            assert completed.result.pages_scraped == result.pages_scraped == 30
            assert (completed.customer_id, completed.result.status) == ("acme", "completed")
            assert len([page async for page in completed.result.data()]) == 30
            assert (await completed.result.full()).job_id == job.id
        assert len(record.by_name["pageCommitted"]) == 30
        assert record.order[:2] == ["workerReady", "started"]
        assert record.order[-3:] == ["shuttingDown", "workerClosed", "shutdown"]

    with serve(default=tree(30)) as site:
        run(scenario(site.url))


def test_health_and_memory_are_real(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, worker_count=2, health_interval_s=0.1)
        record = Record(service)
        before = await service.get_health_status()
        assert (before.healthy, before.total_workers) == (False, 0)
        with pytest.raises(ServiceNotRunningError):
            await service.scale(2)
        async with service:
            await until(lambda: len(record.by_name["workerReady"]) == 2, what="both are ready")
            health = await service.get_health_status()
            assert health.healthy, health.problems
            assert (health.total_workers, health.active_workers) == (2, 2)
            assert health.redis_connected
            assert health.uptime > 0
            usage = service.get_memory_usage()
            assert set(usage.workers) == {f"{service.name}/worker-{n}" for n in (1, 2)}
            assert min(usage.workers.values()) > 20 * 2**20
            own = usage.used - sum(usage.workers.values())
            assert usage.total == min(own + 2 * 2**30, memory_limit_bytes())
            await until(lambda: len(record.by_name["healthUpdate"]) > 1, what="health updates")
        assert not record.by_name["highMemoryUsage"]

    run(scenario())


def test_a_low_threshold_raises_high_memory_usage_once(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, memory_threshold=0.01, health_interval_s=0.05)
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["healthUpdate"]) > 3, what="health updates")
        [high] = record.by_name["highMemoryUsage"]
        assert high.used > 0.01 * high.total

    run(scenario())


def test_monitoring_switched_off_reads_nothing(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, enable_health_monitoring=False, health_interval_s=0.05)
        record = Record(service)
        async with service:
            assert (await service.get_health_status()).memory_usage is None
            await service.restart_worker("worker-1")
        assert not record.by_name["healthUpdate"]

    run(scenario())


def test_pages_of_a_killed_worker_are_fetched_by_another_at_once(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place, worker_count=2)
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["workerReady"]) == 2, what="both are ready")
            job = await service.queue.add_job({"type": "full-crawl", "url": f"{url}/0"})
            for kills in range(1, 4):
                await until(lambda: hits() > 40 * kills, what="the crawl goes on")
                victim, pid = sorted(pids(service).items())[kills % 2]
                psutil.Process(pid).kill()
                await until(functools.partial(is_replaced, service, victim, pid), 5, "a new worker")
            result = await job.result(timeout=60)
            assert (result.status, result.pages_scraped, result.error_count) == (
                "completed",
                300,
                0,
            )
            records = [page["url"] async for page in finished(record).result.data()]
            assert len(records) == len(set(records)) == 300
            # Far less than a lease: nothing waited for one to expire.
            assert result.duration < 30_000
        errors = [event.error for event in record.by_name["workerError"]]
        assert len(errors) == 3
        # Where the kernel counts its own kills, it is said that this was none.
        assert set(errors) <= {
            "killed by SIGKILL (by somebody else)", "killed by SIGKILL (out of memory?)",
        }  # fmt: skip

    def is_replaced(service: ScraperWorkerService, victim: str, pid: int) -> bool:
        return pids(service).get(victim, pid) != pid

    def finished(record: Record) -> WorkerCompleted:
        [event] = record.by_name["workerCompleted"]
        assert isinstance(event, WorkerCompleted)
        return event

    with serve(default=tree(300, delay_s=0.05)) as site:
        run(scenario(site.url, site.hits.total))


def test_the_fleet_is_scaled_and_restarted_while_a_job_runs(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place)
        record = Record(service)
        async with service:
            job = await service.queue.add_job({"type": "full-crawl", "url": f"{url}/0"})
            await service.scale(3)
            await until(lambda: len(record.by_name["workerReady"]) == 3, what="three are ready")
            before = pids(service)
            await service.restart_worker("worker-2")
            after = pids(service)
            assert before[f"{service.name}/worker-2"] != after[f"{service.name}/worker-2"]
            await service.restart_all()
            assert not set(pids(service).values()) & set(before.values())
            await service.scale(1)
            await until(lambda: len(pids(service)) == 1, what="two have drained")
            assert (await service.get_health_status()).total_workers == 1
            with pytest.raises(ValueError, match="from 1 to 1000"):
                await service.scale(0)
            result = await job.result(timeout=60)
            assert (result.status, result.pages_scraped, result.error_count) == (
                "completed",
                250,
                0,
            )
        assert not record.by_name["workerError"]
        assert len(record.by_name["workerClosed"]) == 1 + 3 + 2 + 1
        # A drain finishes what is in flight: nothing was fetched twice.
        assert hits() == 250

    with serve(default=tree(250, delay_s=0.08)) as site:
        run(scenario(site.url, site.hits.total))


def test_stop_drains_and_charges_nothing(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place, worker_count=2)
        await service.start()
        job = await service.queue.add_job({"type": "full-crawl", "url": f"{url}/0"})
        await until(lambda: hits() > 30, what="the crawl runs")
        await asyncio.gather(service.stop(), service.stop())
        await service.stop()
        async with service:  # the same object starts anew
            view = await service.queue.job(job.id)
            assert view.pages.done >= 30
            result = await service.queue.wait_for(job.id, 60)
            assert (result.status, result.pages_scraped) == ("completed", 200)
        assert hits() == 200

    with serve(default=tree(200, delay_s=0.05)) as site:
        run(scenario(site.url, site.hits.total))


def test_a_listener_may_stop_the_service_that_calls_it(
    place: QueuePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stop that waited for its own caller would not come to its end here.
    monkeypatch.setattr("supervisor.service.LISTENERS_END_WITHIN_S", 600.0)

    async def scenario(url: str) -> None:
        service = service_on(place)
        stopped = asyncio.Event()

        async def stop(event: WorkerFailed) -> None:
            await service.stop()
            stopped.set()

        service.on("workerFailed", stop)
        await service.start()
        job = {"type": "single-page", "url": f"{url}/none", "attempts": 1}
        await service.queue.add_job(job)
        await asyncio.wait_for(stopped.wait(), PATIENCE_S)
        assert not service.is_running

    with serve() as site:
        run(scenario(site.url))


def test_workers_that_refuse_their_configuration_stop_the_start_with_the_reason(
    place: QueuePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = ("/bin/sh", "-c", f"exit {EXIT_CONFIGURATION}")
    monkeypatch.setattr("supervisor.process.WORKER_COMMAND", refusing)

    async def scenario() -> None:
        service = service_on(place, worker_count=3)
        record = Record(service)
        with pytest.raises(WorkerStartError, match="configuration"):
            await service.start()
        assert not service.is_running
        assert record.by_name["workerError"][0].restart_in_s is None
        assert "started" not in record.order

    run(scenario())


def test_a_worker_that_crashes_at_start_opens_its_breaker(
    place: QueuePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.process.WORKER_COMMAND", ("/bin/sh", "-c", "exit 1"))
    limits = RestartLimits(backoff_max_s=0.05, breaker_pause_s=60)

    async def scenario() -> None:
        service = service_on(place, restart_limits=limits)
        record = Record(service)
        starting = asyncio.create_task(service.start())
        await until(lambda: len(record.by_name["workerError"]) == 5, what="five deaths")
        health = await service.get_health_status()
        assert not health.healthy
        assert "no worker is running: the last one failed with exit code 1" in health.problems
        assert health.workers[0].state == "backing-off"
        assert health.workers[0].recent_deaths == 5
        assert any("worker-1 is left alone for a while" in it for it in health.problems)
        await service.stop()
        await starting
        last = record.by_name["workerError"][-1]
        assert (last.restart_in_s, last.error) == (60, "failed with exit code 1; died 5 times")

    run(scenario())


def test_redis_out_of_reach_is_said_at_start() -> None:
    async def scenario() -> None:
        service = service_on(redis_url="redis://127.0.0.1:1/0")
        with pytest.raises(RedisUnreachableError):
            await service.start()
        assert not service.is_running

    run(scenario())


def test_raw_pushes_are_taken_and_bad_ones_rejected(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        service = await start_worker_service(service_on(place).config)
        record = Record(service)
        try:
            redis = service.queue.redis
            await redis.lpush(place.name, "rubbish", f"{url}/")
            await until(lambda: record.by_name["workerCompleted"], what="the page")
            await until(lambda: record.by_name["jobRejected"], what="the rejection")
            assert len((await service.queue.reader.rejected())[0]) == 1
        finally:
            await service.stop()

    with serve({"/": html()}) as site:
        run(scenario(site.url))


def test_workers_bound_to_a_job_leave_the_others_alone(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        async with service_on(place, pools=["@mine"], watch_doors=False) as service:
            strange = await service.queue.add_job({"type": "single-page", "url": f"{url}/"})
            mine = {"type": "single-page", "url": f"{url}/", "jobId": "mine"}
            result = await (await service.queue.add_job(mine, bound=True)).result(timeout=30)
            assert result.status == "completed"
            assert (await service.queue.job(strange.id)).state.value == "waiting"

    with serve({"/": html()}) as site:
        run(scenario(site.url))


def test_two_services_hear_their_own_workers_and_one_may_hear_all(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        first, second = service_on(place, concurrency=1), service_on(place, concurrency=1)
        own, other, everything = Record(first), Record(second), Record(first, "queue")
        async with first, second:
            assert second.name == f"{first.name}~2"
            jobs = [{"type": "single-page", "url": f"{url}/{n}"} for n in range(40)]
            for handle in await first.queue.add_jobs(jobs):
                await handle.result(timeout=30)
        completed = "workerCompleted"
        heard = [len(record.by_name[completed]) for record in (own, other, everything)]
        assert heard[2] == 40 == heard[0] + heard[1]
        assert {event.worker_id for event in own.by_name[completed]} <= {
            f"{own.by_name['workerReady'][0].worker_id}"
        }

    with serve(default=lambda path: html(title=path)) as site:
        run(scenario(site.url))


def test_the_service_lives_through_a_killed_embedded_server(tmp_path: Path) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(data_dir=tmp_path / "data")
        record = Record(service)
        async with service:
            job = await service.queue.add_job({"type": "full-crawl", "url": f"{url}/0"})
            await until(lambda: hits() > 30, what="the crawl runs")
            server = (await service.queue.redis.info("server"))["process_id"]
            keeper = psutil.Process(server).parent()
            assert keeper is not None
            for process in (keeper, psutil.Process(server)):
                process.kill()
            await until(lambda: record.by_name["workerCompleted"], 60, "the job")
            assert (await job.result(timeout=10)).pages_scraped == 150
            assert (await service.get_health_status()).healthy

    with serve(default=tree(150, delay_s=0.05)) as site:
        run(scenario(site.url, site.hits.total))
    # The service has let go of it: nothing may be left on the folder.
    with EmbeddedServer.acquire(tmp_path / "data") as again:
        assert again.url


def test_no_event_is_lost_to_a_slow_listener(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        service, heard = service_on(place), list[str]()

        async def slow(event: Any) -> None:
            await asyncio.sleep(0.002)
            heard.append(event.url)

        service.on("pageCommitted", slow)
        async with service:
            job = {"type": "full-crawl", "url": f"{url}/0", "turboMode": True}
            result = await (await service.queue.add_job(job)).result(timeout=60)
        assert result.pages_scraped == 400
        assert len(heard) == len(set(heard)) == 400

    with serve(default=tree(400)) as site:
        run(scenario(site.url))


def test_a_stopped_worker_is_killed_when_its_drain_time_is_over(place: QueuePlace) -> None:
    async def scenario() -> None:
        service = service_on(place, drain_timeout_s=0)
        record = Record(service)
        await service.start()
        [pid] = pids(service).values()
        psutil.Process(pid).send_signal(signal.SIGSTOP)
        await service.stop()
        assert not psutil.pid_exists(pid)
        assert record.order[-4:] == ["shuttingDown", "forceShutdown", "workerClosed", "shutdown"]

    run(scenario())
