"""`scrape` and `crawl` by a service's workers: submit, follow, fetch; and the summary of a job."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from scraper.jobs import InvalidJobError, JobResult, JobView
from scraper.jobs.ending import end_tasks
from supervisor.cli_options import Place
from supervisor.cli_output import err, print_errors, print_json
from supervisor.cli_progress import follow_job
from supervisor.cli_queue import open_desk
from supervisor.desk import Refused
from supervisor.export import RecordWriter

EXIT_INTERRUPTED = 130
ERRORS_SHOWN = 10


async def run_there(
    place: Place, fields: dict[str, Any], writer: RecordWriter | None, as_json: bool
) -> int:
    """Have the service's workers do one job; a signal cancels it."""
    desk = await open_desk(place)
    try:
        [outcome] = await desk.submit([fields])
        if isinstance(outcome, Refused):
            raise InvalidJobError(outcome.faults)
        job_id, started_s = outcome.job_id, time.monotonic()
        err.print(f"job {job_id} at {place.server} ...", markup=False)
        is_done = await _until_signal(follow_job(desk, job_id))
        if not is_done:
            await desk.cancel(job_id)
        view, result = await desk.job(job_id), await desk.result(job_id)
        if writer:
            count = await writer.write(desk.record_lines(job_id))
            err.print(f"{count} pages in {writer.target}", markup=False)
        if as_json:
            print_json(result.to_json())
        print_summary(view, result, time.monotonic() - started_s, writer)
    finally:
        await desk.close()
    if not is_done:
        return EXIT_INTERRUPTED
    return 0 if result.status == "completed" else 1


async def _until_signal(work: Coroutine[Any, Any, object]) -> bool:
    """Await `work`; False when SIGINT or SIGTERM came first."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    task, waiter = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    is_done = task.done()
    await end_tasks([task, waiter])
    if is_done:
        await task
    return is_done


def print_summary(
    view: JobView, result: JobResult, seconds: float, writer: RecordWriter | None
) -> None:
    """How a job ended, for a person."""
    crawl_s = max(result.duration / 1000, 0.001)
    pages = view.pages
    err.print(
        f"{result.status} ({view.finish_reason}): {pages.done} pages in {crawl_s:.1f} s, "
        f"{pages.done / crawl_s:.0f} pages/s, {_size(view.body_bytes)}; "
        f"{pages.failed} failed, {pages.skipped} skipped, {pages.left} left; "
        f"{seconds:.1f} s in all",
        markup=False,
    )
    if writer is None and pages.done:
        err.print(f"its pages: python -m supervisor data {view.id}", markup=False)
    if result.error_count:
        if not sys.stdout.isatty() or writer:
            for item in result.errors[:ERRORS_SHOWN]:
                err.print(f"  {item['code']:<14} {item['url']}", markup=False)
                if not item["depth"]:
                    # Without the start page there is nothing: what to do about it is said here.
                    err.print(f"  {'':<14} {item['message']}", markup=False)
        else:
            print_errors(result.errors[:ERRORS_SHOWN])
        if result.error_count > ERRORS_SHOWN:
            more = result.error_count - ERRORS_SHOWN
            err.print(f"  and {more} more: python -m supervisor errors {view.id}", markup=False)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
