"""Commands for webhooks: the delivery log of a job, and delivering again."""

from __future__ import annotations

from typing import Any

import click

from supervisor.cli_look import json_option
from supervisor.cli_options import place_of, place_options
from supervisor.cli_output import err, print_facts, print_json, print_table
from supervisor.cli_queue import with_desk
from supervisor.desk import Desk

_HEADERS = ("at", "delivery", "no.", "event", "try", "outcome", "status", "error")
_COLUMNS = ("at", "id", "sequence", "event", "attempt", "outcome", "status", "error")


@click.command()
@click.argument("job_id")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@place_options
def deliveries(job_id: str, limit: int, as_json: bool, **options: Any) -> None:
    """Show what became of the calls of a job's webhook, the newest first."""

    async def work(desk: Desk) -> None:
        found = await desk.deliveries(job_id, limit)
        if as_json:
            print_json(found)
            return
        attempts = found.pop("deliveries")
        if found["webhook"] is None:
            err.print("this job has no webhook")
            return
        print_facts({"url": found.pop("webhook")["url"], **found})
        print_table(_HEADERS, [[attempt.get(name) for name in _COLUMNS] for attempt in attempts])

    with_desk(place_of(options), work)


@click.command()
@click.argument("job_id")
@click.argument("delivery_id")
@place_options
def redeliver(job_id: str, delivery_id: str, **options: Any) -> None:
    """Call a job's webhook again for one event of its delivery log."""

    async def work(desk: Desk) -> None:
        await desk.redeliver(job_id, delivery_id)
        err.print(f"delivery {delivery_id} of job {job_id} waits for its turn", markup=False)

    with_desk(place_of(options), work)


COMMANDS = (deliveries, redeliver)
