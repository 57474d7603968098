"""Our jobs as scrapyd tells of them: pending, running, finished, of one project."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from scraper.jobs import JobQueue, JobSpec, JobState, JobView
from scraper.jobs.errors import UnreadableJobError
from supervisor.fleet import read_fleet

PROJECT = "scraper"
PENDING = (JobState.WAITING, JobState.DELAYED, JobState.PAUSED)
RUNNING = (JobState.ACTIVE,)
FINISHED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
# scrapyd keeps 100 finished jobs; clients read the whole list each time.
MOST_PENDING, MOST_RUNNING, MOST_FINISHED = 1000, 1000, 100
_NO_ARGUMENTS = {"type", "jobId", "priority", "webhook"}


def local(epoch_ms: int) -> datetime:
    """scrapyd's clock: local time, without a zone."""
    return datetime.fromtimestamp(epoch_ms / 1000)  # noqa: DTZ006


def scrapyd_state(state: JobState) -> str:
    """pending, running or finished."""
    if state in FINISHED:
        return "finished"
    return "running" if state in RUNNING else "pending"


async def jobs_in(
    queue: JobQueue, states: Collection[JobState], limit: int, job_type: str | None = None
) -> list[JobView]:
    """The newest jobs in these states."""
    found: list[JobView] = []
    cursor: str | None = None
    while len(found) < limit:
        page = await queue.reader.jobs(
            states=states, job_type=job_type, limit=limit - len(found), cursor=cursor
        )
        found += page.jobs
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


async def pids(queue: JobQueue) -> dict[str, int]:
    """Job -> the process of a worker that has it in hand."""
    workers = (await read_fleet(queue))["workers"]
    return {
        job: worker["pid"] for worker in workers for job in worker.get("jobs", ())
        if worker.get("pid")
    }  # fmt: skip


def log_url(view: JobView) -> str:
    return f"/logs/{PROJECT}/{view.type}/{view.id}.log"


def items_url(view: JobView) -> str:
    return f"/items/{PROJECT}/{view.type}/{view.id}.jl"


async def list_pending(queue: JobQueue) -> list[dict[str, Any]]:
    found = await jobs_in(queue, PENDING, MOST_PENDING)
    arguments = await _arguments(queue, found)
    return [
        {
            "id": view.id, "project": PROJECT, "spider": view.type, "version": None,
            "settings": {}, "args": its,
        }
        for view, its in zip(found, arguments, strict=True)
    ]  # fmt: skip


async def list_running(queue: JobQueue) -> list[dict[str, Any]]:
    found = await jobs_in(queue, RUNNING, MOST_RUNNING)
    by_job = await pids(queue) if found else {}
    return [
        {
            "id": view.id, "project": PROJECT, "spider": view.type,
            "pid": by_job.get(view.id, 0), "start_time": str(local(started_ms(view))),
            "log_url": log_url(view), "items_url": items_url(view),
        }
        for view in found
    ]  # fmt: skip


async def list_finished(queue: JobQueue) -> list[dict[str, Any]]:
    return [
        {
            "id": view.id, "project": PROJECT, "spider": view.type,
            "start_time": str(local(started_ms(view))), "end_time": str(local(ended_ms(view))),
            "log_url": log_url(view), "items_url": items_url(view),
        }
        for view in await jobs_in(queue, FINISHED, MOST_FINISHED)
    ]  # fmt: skip


def started_ms(view: JobView) -> int:
    """A job that was cancelled before it began has its submission for that."""
    return view.started_at or view.submitted_at


def ended_ms(view: JobView) -> int:
    return view.finished_at or started_ms(view)


async def _arguments(queue: JobQueue, views: Sequence[JobView]) -> list[dict[str, str]]:
    """The fields of jobs as texts, without those that scrapyd names elsewhere, and secrets."""
    if not views:
        return []
    async with queue.redis.pipeline(transaction=False) as pipe:
        for view in views:
            pipe.hget(queue.transitions.keys.job(view.id), "spec")
        stored = await pipe.execute()
    return [_texts(text) for text in stored]


def _texts(stored: bytes | None) -> dict[str, str]:
    try:
        spec = JobSpec.from_stored(stored or b"{}")
    except UnreadableJobError:
        return {}
    fields = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in fields.items()
        if name not in _NO_ARGUMENTS
    }
