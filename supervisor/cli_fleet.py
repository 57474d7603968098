"""Commands for the fleet: restart, scale and drain, on any machine."""

from __future__ import annotations

from typing import Any

import click

from supervisor.cli_options import place_of, place_options
from supervisor.cli_output import err
from supervisor.cli_queue import with_desk
from supervisor.desk import Desk

supervisor_option = click.option(
    "--supervisor", metavar="NAME", help="Which one; needed where several run on this queue."
)
timeout_option = click.option(
    "--timeout", "timeout_s", type=float, default=60.0, show_default=True, metavar="S",
    help="How long to wait for its answer.",
)  # fmt: skip


def _order(
    options: dict[str, Any], name: str | None, action: str, argument: str, timeout_s: float
) -> None:
    async def work(desk: Desk) -> None:
        err.print(await desk.order(name, action, argument, timeout_s), markup=False)

    with_desk(place_of(options), work)


@click.command()
@click.argument("worker_id", required=False)
@click.option("--all", "is_all", is_flag=True, help="All workers, one after another.")
@supervisor_option
@timeout_option
@place_options
def restart(
    worker_id: str | None, is_all: bool, supervisor: str | None, timeout_s: float, **options: Any
) -> None:
    """Drain a worker and start it anew: restart worker-1, restart host/worker-1, or --all."""
    if is_all == bool(worker_id):
        raise click.UsageError("name a worker (see `workers`), or --all")
    if worker_id and "/" in worker_id and supervisor is None:
        supervisor = worker_id.rpartition("/")[0]
    _order(options, supervisor, "restart", worker_id or "*", timeout_s)


@click.command()
@click.argument("count")
@supervisor_option
@timeout_option
@place_options
def scale(count: str, supervisor: str | None, timeout_s: float, **options: Any) -> None:
    """Have COUNT workers (or auto) from now on; those too many are drained."""
    if count != "auto" and not count.isdigit():
        raise click.UsageError(f"COUNT is a number or auto, not {count!r}")
    _order(options, supervisor, "scale", count, timeout_s)


@click.command()
@supervisor_option
@timeout_option
@place_options
def drain(supervisor: str | None, timeout_s: float, **options: Any) -> None:
    """End a service in order: pages in flight are finished, the rest is handed back."""
    _order(options, supervisor, "drain", "", timeout_s)


COMMANDS = (restart, scale, drain)
