"""`migrate`: the queue moves to another server."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from scraper.jobs import Config, load_config, open_queue
from scraper.jobs.connection import check_server
from scraper.jobs.migration import KEYS_AT_ONCE, Migration, MigrationRefusedError
from supervisor.cli_output import err, print_json

EMBEDDED = "embedded"
# A multiple of the keys that are copied at once.
TELL_EVERY = 20 * KEYS_AT_ONCE


@click.command()
@click.option("--from", "source", default=EMBEDDED, show_default=True, metavar="URL")
@click.option("--to", "target", required=True, metavar="URL", help="A Redis URL, or embedded.")
@click.option("--queue", metavar="NAME", help="The queue; default QUEUE_NAME.")
@click.option("--data-dir", metavar="DIR", help="Folder of the embedded server.")
@click.option("--force", is_flag=True, help="Also while supervisors run, and over a queue there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def migrate(
    source: str, target: str, queue: str | None, data_dir: str | None, force: bool, as_json: bool
) -> int:
    """Move a queue with all its jobs: migrate --from embedded --to redis://HOST:6379/0

    Stop the service first. What is broken off is begun again by the same command. The old queue is
    left as it was, but paused.
    """
    settings = {"queue_name": queue, "data_dir": data_dir}
    places = [_config(url, settings) for url in (source, target)]
    if source == target:
        raise click.UsageError("--from and --to are the same server")
    moved = asyncio.run(_move(places[0], places[1], force))
    if as_json:
        print_json(moved)
    else:
        jobs = ", ".join(f"{count} {state}" for state, count in moved["jobs"].items() if count)
        err.print(f"moved {moved['keys']} keys: {jobs or 'no jobs'}", markup=False)
        err.print(f"now set REDIS_URL={target} and start the service", markup=False)
    return 0


def _config(url: str, settings: dict[str, Any]) -> Config:
    return load_config(redis_url="" if url == EMBEDDED else url, **settings)


async def _move(source: Config, target: Config, is_forced: bool) -> dict[str, Any]:
    old = await open_queue(source, client_name="migrate")
    try:
        new = await open_queue(target, client_name="migrate")
        try:
            facts = await check_server(new.redis)
            if not facts.is_fit:
                faults = "; ".join(str(it) for it in facts.problems if it.is_fatal)
                raise MigrationRefusedError(f"the target cannot keep jobs: {faults}")
            moved = await Migration(old, new, is_forced=is_forced, on_progress=_tell).run()
            return {"keys": moved.keys, "jobs": moved.jobs, "leases": moved.leases}
        finally:
            await new.shutdown()
    finally:
        await old.shutdown()


def _tell(keys: int) -> None:
    if keys % TELL_EVERY == 0:
        err.print(f"{keys} keys so far", markup=False)


COMMANDS = (migrate,)
