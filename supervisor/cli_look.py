"""Commands that look: jobs, results, errors, events, workers, health."""

from __future__ import annotations

from typing import Any

import click

from scraper.jobs import JobQueue, JobState
from scraper.jobs.events import EventReader, QueueEvent
from supervisor.cli_options import config_of, connection_options
from supervisor.cli_output import (
    JOB_HEADERS,
    RecordWriter,
    err,
    job_rows,
    out,
    print_errors,
    print_facts,
    print_job,
    print_json,
    print_result,
    print_table,
)
from supervisor.cli_queue import with_queue
from supervisor.explain import explain_url
from supervisor.queue_health import read_health

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.option("--state", type=click.Choice([state.value for state in JobState]), multiple=True)
@click.option("--customer", metavar="ID")
@click.option("--type", "job_type", metavar="TYPE")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@connection_options
def jobs(
    state: tuple[str, ...], customer: str | None, job_type: str | None, limit: int,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """List jobs, the newest first."""
    states = [JobState(name) for name in state] or list(JobState)

    async def work(queue: JobQueue) -> None:
        async with queue.translated():
            page = await queue.reader.jobs(
                states=states, customer_id=customer, job_type=job_type, limit=limit
            )
            found = page.jobs
            while page.next_cursor and len(found) < limit:
                page = await queue.reader.jobs(
                    states=states, customer_id=customer, job_type=job_type,
                    limit=limit - len(found), cursor=page.next_cursor,
                )  # fmt: skip
                found += page.jobs
        if as_json:
            print_json([job.to_json() for job in found])
        elif found:
            print_table(JOB_HEADERS, job_rows(found))
        else:
            err.print("no such jobs")

    with_queue(config_of(options), work)


@click.command()
@click.argument("job_id")
@json_option
@connection_options
def job(job_id: str, as_json: bool, **options: Any) -> None:
    """Show one job."""

    async def work(queue: JobQueue) -> None:
        view = await queue.job(job_id)
        counts, _ = await queue.reader.filtered(job_id)
        if as_json:
            print_json({**view.to_json(), "filtered": counts})
            return
        print_job(view)
        print_facts({"links left out": dict(sorted(counts.items()))})

    with_queue(config_of(options), work)


@click.command()
@click.argument("job_id")
@json_option
@connection_options
def result(job_id: str, as_json: bool, **options: Any) -> None:
    """Show how a job ended (its pages: `data`)."""

    async def work(queue: JobQueue) -> None:
        found = await queue.result(job_id)
        if as_json:
            print_json(found.to_json())
        else:
            print_result(found)

    with_queue(config_of(options), work)


@click.command()
@click.argument("job_id")
@click.option("--output", default="-", metavar="FILE", help=".jsonl, .json or .csv; - is stdout.")
@click.option("--json", "as_json", is_flag=True, help="The same as the default: JSON lines.")
@connection_options
def data(job_id: str, output: str, as_json: bool, **options: Any) -> None:
    """Print the page records of a job, also while it runs."""
    writer = RecordWriter(output)

    async def work(queue: JobQueue) -> None:
        await queue.job(job_id)
        async with queue.translated():
            count = await writer.write(queue.reader.record_lines(job_id))
        if output != "-":
            err.print(f"{count} pages in {output}")

    with_queue(config_of(options), work)


@click.command()
@click.argument("job_id")
@json_option
@connection_options
def errors(job_id: str, as_json: bool, **options: Any) -> None:
    """List the pages of a job that failed, with the reasons."""

    async def work(queue: JobQueue) -> None:
        await queue.job(job_id)
        async with queue.translated():
            found = await queue.reader.errors(job_id, limit=0)
        if as_json:
            print_json(found)
        elif found:
            print_errors(found)
        else:
            err.print("no errors")

    with_queue(config_of(options), work)


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@connection_options
def rejected(limit: int, as_json: bool, **options: Any) -> None:
    """List raw pushes that were refused, with the reasons."""

    async def work(queue: JobQueue) -> None:
        async with queue.translated():
            found, _ = await queue.reader.rejected(limit)
        if as_json:
            print_json(found)
        elif found:
            rows = [
                (item["at"], item["door"], item["payload"][:60], item["reason"]) for item in found
            ]
            print_table(("at", "door", "payload", "reason"), rows)
        else:
            err.print("nothing was refused")

    with_queue(config_of(options), work)


def _print_event(event: QueueEvent, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(event.to_json(), ensure_ascii=False))
        return
    facts = " ".join(f"{name}={value}" for name, value in event.detail.items())
    out.print(f"{event.name:16} {event.job_id} {facts}".rstrip(), markup=False)


@click.command()
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--after", metavar="ID", help="Only events after this one.")
@json_option
@connection_options
def events(follow: bool, after: str | None, as_json: bool, **options: Any) -> None:
    """Print the queue's events: the past ones, or with --follow those to come."""

    async def work(queue: JobQueue) -> None:
        start = after or (None if follow else "0-0")
        reader = EventReader(queue.blocking, queue.name, start)
        while True:
            async with queue.translated():
                batch = await reader.read(block_ms=1000 if follow else 1)
            for event in batch:
                _print_event(event, as_json)
            if not batch and not follow:
                return

    with_queue(config_of(options), work)


@click.command()
@click.argument("job_id")
@click.argument("url")
@json_option
@connection_options
def explain(job_id: str, url: str, as_json: bool, **options: Any) -> None:
    """Say why a URL was or was not fetched by a job."""

    async def work(queue: JobQueue) -> None:
        async with queue.translated():
            found = await explain_url(queue, job_id, url)
        if as_json:
            print_json(found.to_json())
        else:
            out.print(found.sentence, markup=False)

    with_queue(config_of(options), work)


@click.command()
@json_option
@connection_options
def workers(as_json: bool, **options: Any) -> None:
    """List the workers that the queue hears of, on all machines."""

    async def work(queue: JobQueue) -> None:
        async with queue.translated():
            found = await queue.reader.workers()
            leases = {
                name: await queue.redis.hlen(queue.transitions.keys.key(f"leases:{name}"))
                for name in found
            }
        rows = [(name.partition("#")[0], leases[name]) for name in sorted(found)]
        if as_json:
            print_json([{"workerId": name, "pagesLeased": pages} for name, pages in rows])
        elif rows:
            print_table(("worker", "pages leased"), rows)
        else:
            err.print("no worker is running: start the service with `python -m supervisor run`")

    with_queue(config_of(options), work)


@click.command()
@json_option
@connection_options
def health(as_json: bool, **options: Any) -> int:
    """Show the queue's health; exit code 1 when unhealthy."""
    found = with_queue(config_of(options), read_health)
    if as_json:
        print_json(found.to_json())
    else:
        print_facts(found.to_json())
    return 0 if found.healthy else 1


COMMANDS = (
    jobs, job, result, data, errors, rejected, events, explain, workers, health,
)  # fmt: skip
