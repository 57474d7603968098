"""Live progress of one job on a terminal; a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scraper.jobs import JobView, RedisUnreachableError
from scraper.jobs.pace import JobPace
from supervisor.cli_output import err
from supervisor.desk import Desk, ServiceUnreachableError

EVERY_S = 0.2
PLAIN_EVERY_S = 5.0
PACE_EVERY_S = 2.0


def goal_of(job: JobView) -> int:
    """How many pages the job will have, as far as is known."""
    return min(job.pages.known - job.pages.failed - job.pages.skipped, job.max_pages)


def status_line(job: JobView, rate: float, pace: JobPace | None = None) -> str:
    """What a person wants to know: pages, failures, speed, what it waits for."""
    parts = [f"{job.pages.done} of {goal_of(job)} pages", f"{rate:.0f}/s"]
    if job.pages.failed:
        parts.append(f"{job.pages.failed} failed")
    if job.pages.delayed:
        parts.append(f"{job.pages.delayed} to be tried again")
    if job.state.value in ("waiting", "delayed", "paused"):
        parts.append(f"{job.state.value}{f': {job.error}' if job.error else ''}")
    left = goal_of(job) - job.pages.done
    if pace and pace.reason and pace.eta_ms is not None:
        parts.append(f"about {pace.eta_ms / 1000:.0f} s left")
    elif rate > 0 and left > 0:
        parts.append(f"about {left / rate:.0f} s left")
    if pace and pace.reason:
        parts.append(pace.held_up_by)
    return ", ".join(parts)


class _Rate:
    """Pages a second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def of(self, pages: int) -> float:
        now = time.monotonic()
        self._seen = [(at, n) for at, n in self._seen if now - at < 5.0] + [(now, pages)]
        first_s, first = self._seen[0]
        return (pages - first) / (now - first_s) if now > first_s else 0.0


class _Pace:
    """What holds a job up, asked for now and then."""

    def __init__(self, desk: Desk, job_id: str) -> None:
        self._desk = desk
        self._job_id = job_id
        self._asked_s = -PACE_EVERY_S
        self._pace: JobPace | None = None

    async def now(self) -> JobPace | None:
        if time.monotonic() - self._asked_s >= PACE_EVERY_S:
            self._asked_s = time.monotonic()
            with suppress(RedisUnreachableError, ServiceUnreachableError):
                self._pace = await self._desk.pace(self._job_id)
        return self._pace


async def follow_job(desk: Desk, job_id: str) -> JobView:
    """Show a job's progress on stderr until it ends; the job as it ended.

    A server that is away for a while is waited for. Raises JobNotFoundError.
    """
    if err.is_terminal:
        return await _follow_live(desk, job_id)
    return await _follow_plain(desk, job_id)


async def _view(desk: Desk, job_id: str, last: JobView | None) -> JobView:
    try:
        return await desk.job(job_id)
    except (RedisUnreachableError, ServiceUnreachableError):
        if last is None:
            raise
        await asyncio.sleep(1.0)
        return last


async def _follow_live(desk: Desk, job_id: str) -> JobView:
    rate, job, pace = _Rate(), await desk.job(job_id), _Pace(desk, job_id)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("")
        while not job.state.is_final:
            progress.update(
                bar, completed=job.pages.done, total=max(1, goal_of(job)),
                description=status_line(job, rate.of(job.pages.done), await pace.now()),
            )  # fmt: skip
            await asyncio.sleep(EVERY_S)
            job = await _view(desk, job_id, job)
    return job


async def _follow_plain(desk: Desk, job_id: str) -> JobView:
    rate, job, said_s = _Rate(), await desk.job(job_id), time.monotonic()
    pace = _Pace(desk, job_id)
    while not job.state.is_final:
        speed = rate.of(job.pages.done)
        if time.monotonic() - said_s >= PLAIN_EVERY_S:
            said_s = time.monotonic()
            err.print(status_line(job, speed, await pace.now()), markup=False)
        await asyncio.sleep(EVERY_S)
        job = await _view(desk, job_id, job)
    return job
