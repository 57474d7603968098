"""Commands that act: submit, cancel, retry, remove, pause, resume; and watch."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click
import orjson

from scraper.jobs import InvalidJobError, JobState
from supervisor.cli_options import job_fields, job_options, place_of, place_options
from supervisor.cli_output import err, print_json, print_result
from supervisor.cli_progress import follow_job
from supervisor.cli_queue import with_desk
from supervisor.desk import Accepted, Desk, Refused

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
MANY = 1000


@click.command()
@click.argument("job_type", metavar="TYPE", required=False)
@click.argument("url", required=False)
@click.option("--file", "file", metavar="FILE", help="A URL or a JSON job a line; - is stdin.")
@click.option("--wait", is_flag=True, help="Follow the job until it ends.")
@json_option
@job_options
@place_options
def submit(
    job_type: str | None, url: str | None, file: str | None, wait: bool, as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Put a job in the queue and print its id: submit full-crawl https://example.com/"""
    place = place_of(options)
    if file:
        if url or wait:
            raise click.UsageError("--file takes at most a TYPE beside it, and no --wait")
        return with_desk(place, lambda desk: _submit_file(desk, file, job_type, options))
    if not job_type or not url:
        raise click.UsageError("name a TYPE and a URL: submit single-page https://example.com/")
    fields = job_fields(job_type, url, options)

    async def work(desk: Desk) -> int:
        accepted = await submit_one(desk, fields)
        if not accepted.is_new:
            err.print(f"there was a job {accepted.job_id} already: none is added", markup=False)
        if not wait:
            _print_ids([accepted], as_json)
            return 0
        err.print(f"job {accepted.job_id}", markup=False)
        await follow_job(desk, accepted.job_id)
        found = await desk.result(accepted.job_id)
        if as_json:
            print_json(found.to_json())
        else:
            print_result(found)
        return 0 if found.status == "completed" else 1

    return with_desk(place, work)


async def submit_one(desk: Desk, fields: dict[str, Any]) -> Accepted:
    """Submit a job. Raises InvalidJobError."""
    [outcome] = await desk.submit([fields])
    if isinstance(outcome, Refused):
        raise InvalidJobError(outcome.faults)
    return outcome


def _print_ids(jobs: Iterable[Accepted], as_json: bool) -> None:
    if as_json:
        print_json([{"jobId": job.job_id, "isNew": job.is_new} for job in jobs])
    else:
        for job in jobs:
            click.echo(job.job_id)


async def _submit_file(desk: Desk, file: str, job_type: str | None, options: dict[str, Any]) -> int:
    """Submit each line; bad ones are named and do not stop the others (exit code 2)."""
    shared = job_fields(job_type or "single-page", "", dict(options))
    del shared["url"]
    bad = 0
    for batch in _batches(enumerate(_lines(file), 1)):
        outcomes = await desk.submit([_line_fields(line, shared) for _, line in batch])
        for (number, _), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Refused):
                bad += 1
                err.print(f"line {number}: {InvalidJobError(outcome.faults)}", markup=False)
        _print_ids([it for it in outcomes if isinstance(it, Accepted)], False)
    return 2 if bad else 0


def _batches(lines: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    source = iter(lines)
    while batch := list(itertools.islice(source, MANY)):
        yield batch


def _line_fields(line: str, shared: dict[str, Any]) -> Any:
    if not line.startswith("{"):
        return {**shared, "url": line}
    try:
        return {**shared, **orjson.loads(line)}
    except ValueError:
        return line


def _lines(file: str) -> Iterator[str]:
    """Lines that are not empty and no comments."""
    try:
        source = sys.stdin if file == "-" else open(file, encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise click.BadParameter(f"--file {file}: {error.strerror}") from error
    with source:
        for line in source:
            text = line.strip()
            if text and not text.startswith("#"):
                yield text


@click.command()
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@place_options
def watch(job_id: str, as_json: bool, **options: Any) -> int:
    """Follow a job with live progress until it ends."""

    async def work(desk: Desk) -> int:
        await desk.job(job_id)
        await follow_job(desk, job_id)
        found = await desk.result(job_id)
        if as_json:
            print_json(found.to_json())
        else:
            print_result(found)
        return 0 if found.status == "completed" else 1

    return with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@place_options
def cancel(job_id: str, **options: Any) -> None:
    """Cancel a job; its records stay."""

    async def work(desk: Desk) -> None:
        before = await desk.cancel(job_id)
        what = f"had ended already: {before.value}" if before.is_final else "is cancelled"
        err.print(f"job {job_id} {what}", markup=False)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@click.option("--failed-pages", is_flag=True, help="Only the pages that failed.")
@place_options
def retry(job_id: str, failed_pages: bool, **options: Any) -> None:
    """Run a job again: what failed and what is left; recorded pages stay."""

    async def work(desk: Desk) -> None:
        await desk.retry(job_id, failed_pages_only=failed_pages)
        err.print(f"job {job_id} waits for a worker", markup=False)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@place_options
def remove(job_id: str, **options: Any) -> None:
    """Delete an ended job with its records."""

    async def work(desk: Desk) -> None:
        await desk.remove(job_id)
        err.print(f"job {job_id} is removed", markup=False)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id", required=False)
@place_options
def pause(job_id: str | None, **options: Any) -> None:
    """Pause one job, or the whole queue; pages in flight are finished."""

    async def work(desk: Desk) -> None:
        if job_id is None:
            changed = await desk.pause_queue(True)
            err.print("the queue is paused" if changed else "the queue was paused already")
            return
        before = await desk.pause(job_id)
        what = f"has ended: {before.value}" if before.is_final else "is paused"
        err.print(f"job {job_id} {what}", markup=False)

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id", required=False)
@place_options
def resume(job_id: str | None, **options: Any) -> None:
    """Resume one job, or the whole queue."""

    async def work(desk: Desk) -> None:
        if job_id is None:
            changed = await desk.pause_queue(False)
            err.print("the queue goes on" if changed else "the queue was not paused")
            return
        now: JobState = await desk.resume(job_id)
        err.print(f"job {job_id} is {now.value}", markup=False)

    with_desk(place_of(options), work)


COMMANDS = (submit, watch, cancel, retry, remove, pause, resume)
