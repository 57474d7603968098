"""`scrape URL` and `crawl URL`: one job now, with its own workers, until it ends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from scraper.jobs import Config, JobHandle, OpenedQueue, open_queue
from scraper.jobs.ending import end_tasks
from supervisor.cli_options import (
    job_fields,
    job_options,
    place_of,
    place_options,
    worker_options,
)
from supervisor.cli_output import err, print_json
from supervisor.cli_progress import follow_job
from supervisor.cli_there import print_summary, run_there
from supervisor.demo import serve_demo
from supervisor.desk_redis import RedisDesk
from supervisor.export import RecordWriter

if TYPE_CHECKING:
    from supervisor.service import ScraperWorkerService

EXIT_INTERRUPTED = 130

output_option = click.option(
    "--output",
    metavar="FILE",
    help="Write the pages: .jsonl, .json or .csv by its ending (and .gz); - stdout.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command()
@click.argument("url")
@output_option
@json_option
@job_options
@worker_options
@place_options
def scrape(url: str, output: str | None, as_json: bool, **options: Any) -> int:
    """Fetch one page now."""
    return _foreground("single-page", url, output, as_json, options)


@click.command()
@click.argument("url", required=False)
@click.option("--demo", is_flag=True, help="Crawl the small site that comes along.")
@output_option
@json_option
@job_options
@worker_options
@place_options
def crawl(url: str | None, demo: bool, output: str | None, as_json: bool, **options: Any) -> int:
    """Crawl a site now, link by link."""
    if demo == bool(url):
        raise click.UsageError("name a URL: crawl https://example.com/ (or --demo)")
    if not demo:
        assert url is not None
        return _foreground("full-crawl", url, output, as_json, options)
    with serve_demo() as demo_url:
        err.print(f"No URL given: crawling the demonstration site at {demo_url}", markup=False)
        return _foreground("full-crawl", demo_url, output, as_json, options, allow=demo_url)


def _foreground(
    job_type: str, url: str, output: str | None, as_json: bool, options: dict[str, Any],
    allow: str = "",
) -> int:  # fmt: skip
    """`allow`: the origin of a site that may be fetched though its address is not public."""
    place = place_of(options)
    writer = RecordWriter(output) if output else None
    # A person waits: a job that failed is not tried again 5 s later, unless asked for.
    if options.get("attempts") is None:
        options["attempts"] = 1
    fields = job_fields(job_type, url, options)
    if place.config is None:
        return asyncio.run(run_there(place, fields, writer, as_json))
    config = place.config
    if allow:
        host = allow.partition("://")[2].partition("/")[0]
        hosts = (*config.allow_private_hosts, host)
        config = config.model_copy(update={"allow_private_hosts": hosts})
    return asyncio.run(_run(config, fields, writer, as_json))


async def _run(
    config: Config, fields: dict[str, Any], writer: RecordWriter | None, as_json: bool
) -> int:
    queue = await open_queue(config, client_name="cli")
    try:
        handle = await queue.add_job(fields, bound=True)
        started_s = time.monotonic()
        is_done = await _work(config, queue, handle)
        view = await queue.job(handle.id)
        result = await queue.result(handle.id)
        if writer:
            count = await writer.write(queue.reader.record_lines(handle.id))
            err.print(f"{count} pages in {writer.target}", markup=False)
        if as_json:
            print_json(result.to_json())
        print_summary(view, result, time.monotonic() - started_s, writer)
    finally:
        await queue.shutdown()
    if not is_done:
        return EXIT_INTERRUPTED
    return 0 if result.status == "completed" else 1


async def _work(config: Config, queue: OpenedQueue, handle: JobHandle) -> bool:
    """Run workers for this job alone until it ends; False when a signal ended it."""
    err.print(f"job {handle.id}: {config.queue_name}, workers start ...", markup=False)
    from supervisor.service import ScraperWorkerService

    service = ScraperWorkerService(
        config=config, redis_url=queue.url, pools=[f"@{handle.id}"], watch_doors=False
    )
    try:
        await service.start()
        return await _until_signal(_until_done(service, queue, handle.id), service)
    finally:
        await service.stop()
        await queue.cancel(handle.id)


async def _until_done(service: ScraperWorkerService, queue: OpenedQueue, job_id: str) -> None:
    """Follow the job to its end. Raises WorkerStartError when no worker can start any more."""
    from supervisor.service import WorkerStartError

    following = asyncio.ensure_future(follow_job(RedisDesk(queue), job_id))
    failing = asyncio.ensure_future(service.until_over())
    try:
        await asyncio.wait({following, failing}, return_when=asyncio.FIRST_COMPLETED)
        if not following.done() and (reason := failing.result()):
            raise WorkerStartError(reason)
        await following
    finally:
        await end_tasks([following, failing])


async def _until_signal(work: Coroutine[Any, Any, None], service: ScraperWorkerService) -> bool:
    """Await `work`; False when SIGINT or SIGTERM came first. A second one kills the workers."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def on_signal() -> None:
        if stopped.is_set():
            service.force_stop("a second signal")
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    task = asyncio.create_task(work)
    waiter = asyncio.create_task(stopped.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    is_done = task.done()
    await end_tasks([task, waiter])
    if is_done:
        await task
    else:
        err.print("interrupted: pages in flight are finished (again: at once) ...")
    return is_done


COMMANDS = (scrape, crawl)
