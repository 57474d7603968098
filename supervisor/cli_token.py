"""`token`: who may use the HTTP API."""

from __future__ import annotations

import os
from typing import Any

import click

from scraper.jobs import Config, JobQueue
from scraper.jobs.job_fields import CUSTOMER_ID
from supervisor.cli_options import config_of, connection_options
from supervisor.cli_output import err, print_json, print_table
from supervisor.cli_queue import with_queue
from supervisor.tokens import TokenStore

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _config_of(options: dict[str, Any]) -> Config:
    """Where tokens are kept. Not silently on this machine, when a service elsewhere is meant."""
    is_elsewhere = bool(os.environ.get("SCRAPER_SERVER"))
    is_named = options["redis_url"] or options["data_dir"]
    config = config_of(options)
    if is_elsewhere and not is_named and not config.redis_url:
        raise click.UsageError(
            "SCRAPER_SERVER names a service, but tokens are kept in its Redis: give --redis-url,"
            " or --data-dir on the service's machine"
        )
    return config


@click.group()
def token() -> None:
    """Make, list and revoke tokens of the HTTP API."""


@token.command()
@click.option("--customer-id", metavar="ID", help="Whose jobs it may see and submit.")
@click.option("--operator", is_flag=True, help="It may do everything.")
@click.option("--name", metavar="TEXT", default="", help="What it is for; shown by `token list`.")
@json_option
@connection_options
def create(
    customer_id: str | None, operator: bool, name: str, as_json: bool, **options: Any
) -> None:
    """Make a token and print it: it cannot be read again."""
    if operator == bool(customer_id):
        raise click.UsageError("say whose it is: --customer-id ID, or --operator")
    if customer_id and not CUSTOMER_ID.fullmatch(customer_id):
        raise click.UsageError(f"{customer_id!r} is no customer id")

    async def work(queue: JobQueue) -> None:
        text, made = await TokenStore(queue).create(customer_id, name)
        if as_json:
            print_json({**made.to_json(), "token": text})
        else:
            click.echo(text)
            err.print("keep it: only its hash is stored; the API needs a token from now on")

    with_queue(_config_of(options), work)


@token.command("list")
@json_option
@connection_options
def list_tokens(as_json: bool, **options: Any) -> None:
    """List the tokens; what they are is not kept."""

    async def work(queue: JobQueue) -> None:
        found = await TokenStore(queue).list()
        if as_json:
            print_json([item.to_json() for item in found])
        elif found:
            rows = [
                (item.id, item.customer_id or "(operator)", item.name, item.created_at)
                for item in found
            ]
            print_table(("id", "customer", "name", "made at"), rows)
        else:
            err.print("there are no tokens")

    with_queue(_config_of(options), work)


@token.command()
@click.argument("token_id")
@connection_options
def revoke(token_id: str, **options: Any) -> None:
    """Refuse a token from now on, by its id."""

    async def work(queue: JobQueue) -> None:
        left = await TokenStore(queue).revoke(token_id)
        err.print(f"token {token_id} is revoked", markup=False)
        if not left:
            err.print(
                "no token is left: on loopback the API needs none now, unless API_TOKEN is set"
            )

    with_queue(_config_of(options), work)


COMMANDS = (token,)
