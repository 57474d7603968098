"""Workers that crash at their start, again and again: a bounded number of starts, and the reason in
the health record. The starts are counted by the workers themselves."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from pathlib import Path

import pytest

from supervisor.policy import RestartLimits
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.figures import tell
from tests.support.services import run, service_on, until

WORKERS = 4
# In full as they are by default; in short a window of seconds instead of ten minutes.
LIMITS = by_scale(
    RestartLimits(
        backoff_min_s=0.01, backoff_max_s=0.05, breaker_deaths=4, breaker_window_s=1.0,
        breaker_pause_s=0.2, fleet_deaths=20, fleet_window_s=4.0,
    ),
    RestartLimits(),
)  # fmt: skip
LASTS_S = by_scale(1.5, 1.1) * LIMITS.fleet_window_s


def most_in_a_window(moments_s: list[float], window_s: float) -> int:
    """How many of the moments lay within the same window at the most."""
    return max(
        index + 1 - bisect_left(moments_s, at - window_s) for index, at in enumerate(moments_s)
    )


@pytest.mark.timeout(LASTS_S + 60)
def test_workers_that_crash_at_their_start_are_started_a_bounded_number_of_times(
    place: QueuePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "starts"
    command = ("/bin/sh", "-c", f"date +%s.%N >> {log}; exit 9")
    monkeypatch.setattr("supervisor.process.WORKER_COMMAND", command)

    async def scenario() -> list[str]:
        service = service_on(place, worker_count=WORKERS, restart_limits=LIMITS)
        starting = asyncio.create_task(service.start())
        began_s = time.monotonic()
        await until(lambda: time.monotonic() > began_s + LASTS_S, LASTS_S + 30, "the time is over")
        problems = (await service.get_health_status()).problems
        await service.stop()
        await starting
        return list(problems)

    found: list[str] = []

    async def noting() -> None:
        found.extend(await scenario())

    run(noting())
    starts_s = sorted(map(float, log.read_text().split()))
    most = most_in_a_window(starts_s, LIMITS.fleet_window_s)
    bound = LIMITS.fleet_deaths + WORKERS
    tell(
        f"{WORKERS} workers that crash at their start",
        f"{most} starts in {LIMITS.fleet_window_s:g} s at most (bound {bound})",
        f"{len(starts_s)} in {LASTS_S:g} s", f"health: {found}",
    )  # fmt: skip
    assert WORKERS < most <= bound
    assert any("failed with exit code 9" in problem for problem in found)
