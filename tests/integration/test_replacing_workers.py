"""Workers are replaced and drained under load: never none at work, nothing lost or charged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from supervisor import ScraperWorkerService
from supervisor.children import SlotState
from supervisor.loop import RestartError
from supervisor.process import WORKER_COMMAND
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.figures import none_of, tell
from tests.support.services import Record, pids, run, service_on, until
from tests.support.site import serve, tree

DRAINS = by_scale(4, 100)
WORKERS = by_scale(3, 4)
PAGES = by_scale(500, 8000)
WITHIN_S = by_scale(120, 1500)

pytestmark = pytest.mark.timeout(2 * WITHIN_S)


class LowestCount:
    """How few workers were running at any moment of a block."""

    def __init__(self, service: ScraperWorkerService) -> None:
        assert service._runtime is not None
        self._fleet = service._runtime.fleet
        self.lowest = 1000

    async def __aenter__(self) -> LowestCount:
        self._look()
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()

    def _look(self) -> None:
        running = len(self._fleet.children.in_state(SlotState.RUNNING))
        self.lowest = min(self.lowest, running)

    async def _watch(self) -> None:
        """`until` looks at each change of the fleet's state."""

        def never() -> bool:
            self._look()
            return False

        await self._fleet.until(never)


async def all_uncharged(service: ScraperWorkerService, job_id: str) -> bool:
    redis, keys = service.queue.redis, service.queue.transitions.keys
    packed = await redis.hvals(keys.job(job_id, "pages"))
    return {page.split(b" ")[3] for page in packed} == {b"1"}


async def begin(service: ScraperWorkerService, url: str, hits: Callable[[], int]) -> Any:
    job = await service.queue.add_job(
        {"type": "full-crawl", "url": f"{url}/0", "turboMode": True, "maxPages": PAGES}
    )
    await until(lambda: hits() > 20, what="the crawl runs")
    return job


def test_a_rolling_restart_under_load_costs_no_page_and_no_attempt(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place, worker_count=WORKERS)
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["workerReady"]) == WORKERS, what="all are ready")
            job = await begin(service, url, hits)
            before = set(pids(service).values())
            async with LowestCount(service) as count:
                await service.restart_all()
            assert not before & set(pids(service).values())
            assert count.lowest == WORKERS - 1
            result = await job.result(timeout=WITHIN_S)
            assert (result.pages_scraped, result.errors) == (PAGES, [])
            assert await all_uncharged(service, job.id)
        assert not record.by_name["workerError"]
        assert hits() == PAGES
        tell(
            f"rolling restart of {WORKERS} workers under load",
            none_of(PAGES, "pages lost, fetched twice or charged"),
        )  # fmt: skip

    with serve(default=tree(PAGES, delay_s=0.3)) as site:
        run(scenario(site.url, site.hits.total))


def test_a_lone_worker_is_stood_in_for_while_it_is_restarted(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place)
        record = Record(service)
        async with service:
            job = await begin(service, url, hits)
            [before] = pids(service).values()
            async with LowestCount(service) as count:
                await service.restart_all()
            assert count.lowest == 1
            await until(lambda: len(pids(service)) == 1, what="the spare has drained")
            assert before not in pids(service).values()
            assert (await service.get_health_status()).total_workers == 1
            result = await job.result(timeout=WITHIN_S)
            assert (result.pages_scraped, result.errors) == (PAGES, [])
            assert await all_uncharged(service, job.id)
        assert not record.by_name["workerError"]
        assert hits() == PAGES
        tell("the only worker restarted", none_of(PAGES, "pages lost, fetched twice or charged"))

    with serve(default=tree(PAGES, delay_s=0.2)) as site:
        run(scenario(site.url, site.hits.total))


def test_a_restart_is_broken_off_when_the_new_worker_does_not_come_up(
    place: QueuePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        service = service_on(place)
        async with service:
            before = pids(service)
            monkeypatch.setattr("supervisor.process.WORKER_COMMAND", ("/bin/sh", "-c", "exit 1"))
            launcher = service._runtime.fleet._launcher  # type: ignore[union-attr]
            launcher._command = ("/bin/sh", "-c", "exit 1")
            with pytest.raises(RestartError, match="failed with exit code 1; the other workers"):
                await service.restart_all()
            assert before.items() <= pids(service).items()
            launcher._command = WORKER_COMMAND
            await service.restart_worker("worker-1")
            assert pids(service) != before

    run(scenario())


def test_drains_under_load_keep_their_deadline_and_cost_nothing(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place, worker_count=2)
        record = Record(service)
        async with service:
            await until(lambda: len(record.by_name["workerReady"]) == 2, what="both are ready")
            job = await begin(service, url, hits)
            longest_s = 0.0
            for number in range(DRAINS):
                if await service.queue.reader.state(job.id) == "completed":
                    assert (await job.result(timeout=5)).pages_scraped == PAGES
                    fetched = hits()
                    job = await begin(service, url, lambda: hits() - fetched)
                closed = record.by_name["workerClosed"]
                before, began_s = len(closed), time.monotonic()
                name = f"worker-{number % 2 + 1}"
                restarting = asyncio.create_task(service.restart_worker(name))
                await until(lambda: len(closed) > before, what="it ends")
                longest_s = max(longest_s, time.monotonic() - began_s)
                await restarting
            result = await job.result(timeout=WITHIN_S)
            assert (result.pages_scraped, result.errors) == (PAGES, [])
            assert await all_uncharged(service, job.id)
        # Every fetch takes a part of a second, so the drain has no reason to take its whole time.
        assert longest_s < service.config.drain_timeout_s
        assert not record.by_name["workerError"]
        assert hits() % PAGES == 0
        tell(
            "drains under load", none_of(DRAINS, "took their whole time"),
            f"the longest {longest_s:.2f} s",
            none_of(hits(), "pages lost, fetched twice or charged"),
        )  # fmt: skip

    with serve(default=tree(PAGES, delay_s=0.2)) as site:
        run(scenario(site.url, site.hits.total))
