"""`scale auto` with real workers: more for waiting work, fewer when it is done, none lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supervisor.cpu import CpuMeter
from tests.integration.conftest import QueuePlace
from tests.support.services import Record, pids, run, service_on, until
from tests.support.site import Answer, html, serve


def test_the_fleet_follows_the_load_up_and_down(
    place: QueuePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine that runs the tests may have no core to spare.
    monkeypatch.setattr(CpuMeter, "share", lambda self, pids: 0.05)

    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(
            place, concurrency=1, health_interval_s=0.1, worker_count_max=3,
            scale_up_pause_s=0.1, scale_down_after_s=0.5,
        )  # fmt: skip
        record = Record(service)
        async with service:
            jobs = [{"type": "single-page", "url": f"{url}/{n}"} for n in range(60)]
            handles = await service.queue.add_jobs(jobs)
            await service.scale("auto")
            await until(lambda: len(pids(service)) == 3, what="three workers")
            results = [await handle.result(timeout=60) for handle in handles]
            assert {result.status for result in results} == {"completed"}
            await until(lambda: len(pids(service)) == 1, what="one worker again")
            await service.scale(2)
            await until(lambda: len(pids(service)) == 2, what="a fixed count")
        assert not record.by_name["workerError"]
        assert hits() == 60

    def slow(path: str) -> Answer:
        page = html(title=path)
        page.delay_s = 0.3
        return page

    with serve(default=slow) as site:
        run(scenario(site.url, site.hits.total))
