"""Commands that look: jobs, results, errors, events, workers, health."""

from __future__ import annotations

from typing import Any

import click
import orjson

from scraper.jobs import JobState
from supervisor.cli_options import place_of, place_options
from supervisor.cli_output import (
    JOB_HEADERS,
    WORKER_HEADERS,
    err,
    job_rows,
    out,
    print_errors,
    print_facts,
    print_job,
    print_json,
    print_result,
    print_table,
    worker_rows,
)
from supervisor.cli_queue import with_desk
from supervisor.desk import Desk
from supervisor.export import RecordWriter, followed_lines

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.option("--state", type=click.Choice([state.value for state in JobState]), multiple=True)
@click.option("--customer", metavar="ID")
@click.option("--type", "job_type", metavar="TYPE")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@place_options
def jobs(
    state: tuple[str, ...], customer: str | None, job_type: str | None, limit: int,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """List jobs, the newest first."""
    states = [JobState(name) for name in state] or list(JobState)

    async def work(desk: Desk) -> None:
        found = await desk.jobs(states=states, customer_id=customer, job_type=job_type, limit=limit)
        if as_json:
            print_json([job.to_json() for job in found])
        elif found:
            print_table(JOB_HEADERS, job_rows(found))
        else:
            err.print("no such jobs")

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@json_option
@place_options
def job(job_id: str, as_json: bool, **options: Any) -> None:
    """Show one job."""

    async def work(desk: Desk) -> None:
        view, counts = await desk.job(job_id), await desk.filtered(job_id)
        pace = await desk.pace(job_id)
        if as_json:
            shown = pace.to_json() if pace else None
            print_json({**view.to_json(), "filtered": counts, "pace": shown})
            return
        print_job(view)
        if pace:
            print_facts({"pace": pace.sentence})
        print_facts({"links left out": dict(sorted(counts.items()))})

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@json_option
@place_options
def result(job_id: str, as_json: bool, **options: Any) -> None:
    """Show how a job ended (its pages: `data`)."""

    async def work(desk: Desk) -> None:
        found = await desk.result(job_id)
        if as_json:
            print_json(found.to_json())
        else:
            print_result(found)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@click.option(
    "--output",
    default="-",
    metavar="FILE",
    help=".jsonl, .json or .csv, with .gz packed; - is stdout.",
)
@click.option("--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--json", "as_json", is_flag=True, help="The same as the default: JSON lines.")
@place_options
def data(job_id: str, output: str, follow: bool, as_json: bool, **options: Any) -> None:
    """Print the page records of a job, also while it runs."""
    writer = RecordWriter(output)

    async def work(desk: Desk) -> None:
        await desk.job(job_id)
        lines = followed_lines(desk, job_id) if follow else desk.record_lines(job_id)
        count = await writer.write(lines)
        if output != "-":
            err.print(f"{count} pages in {output}", markup=False)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@json_option
@place_options
def errors(job_id: str, as_json: bool, **options: Any) -> None:
    """List the pages of a job that failed, with the reasons."""

    async def work(desk: Desk) -> None:
        found = await desk.errors(job_id)
        if as_json:
            print_json(found)
        elif found:
            print_errors(found)
        else:
            err.print("no errors")

    with_desk(place_of(options), work)


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@place_options
def rejected(limit: int, as_json: bool, **options: Any) -> None:
    """List raw pushes that were refused, with the reasons."""

    async def work(desk: Desk) -> None:
        found = await desk.rejected(limit)
        if as_json:
            print_json(found)
        elif found:
            rows = [
                (item["at"], item["door"], item["payload"][:60], item["reason"]) for item in found
            ]
            print_table(("at", "door", "payload", "reason"), rows)
        else:
            err.print("nothing was refused")

    with_desk(place_of(options), work)


_SHOWN_ELSEWHERE = frozenset({"event", "id", "at", "jobId", "customerId"})


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _print_event(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(event, indent=None)
        return
    facts = " ".join(f"{k}={_plain(v)}" for k, v in event.items() if k not in _SHOWN_ELSEWHERE)
    out.print(f"{event['event']:16} {event.get('jobId', '')} {facts}".rstrip(), markup=False)


@click.command()
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--after", metavar="ID", help="Only events after this one.")
@json_option
@place_options
def events(follow: bool, after: str | None, as_json: bool, **options: Any) -> None:
    """Print the queue's events: the past ones, or with --follow those to come."""

    async def work(desk: Desk) -> None:
        async for event in desk.events(after or (None if follow else "0-0"), follow=follow):
            _print_event(event, as_json)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@click.argument("url")
@json_option
@place_options
def explain(job_id: str, url: str, as_json: bool, **options: Any) -> None:
    """Say why a URL was or was not fetched by a job."""

    async def work(desk: Desk) -> None:
        found = await desk.explain(job_id, url)
        if as_json:
            print_json(found)
        else:
            out.print(found["sentence"], markup=False)

    with_desk(place_of(options), work)


@click.command()
@json_option
@place_options
def workers(as_json: bool, **options: Any) -> None:
    """List the workers on all machines."""

    async def work(desk: Desk) -> None:
        found = await desk.workers()
        if as_json:
            print_json(found)
        elif found:
            print_table(WORKER_HEADERS, worker_rows(found))
        else:
            err.print("no worker is running: start the service with `python -m supervisor run`")

    with_desk(place_of(options), work)


@click.command()
@json_option
@place_options
def health(as_json: bool, **options: Any) -> int:
    """Show the queue's health; exit code 1 when unhealthy."""

    async def work(desk: Desk) -> dict[str, Any]:
        return await desk.health()

    found = with_desk(place_of(options), work)
    if as_json:
        print_json(found)
    else:
        print_facts(found)
    return 0 if found["healthy"] else 1


COMMANDS = (
    jobs, job, result, data, errors, rejected, events, explain, workers, health,
)  # fmt: skip
