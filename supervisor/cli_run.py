"""`run`: the service, until a signal; `check`: would it start?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import click
import structlog

from scraper.jobs import Config
from scraper.jobs.cluster import set_home
from scraper.jobs.config_loading import likely_typos
from scraper.jobs.connection import ServerProblem, check_server, connect
from scraper.jobs.keys import Keys
from scraper.jobs.presets import load_presets
from scraper.jobs.redis_url import safe_url
from scraper.logs import configure_logs
from supervisor.cli_options import config_of, connection_options, worker_options
from supervisor.cli_output import err

log = structlog.get_logger(__name__)


@click.command()
@worker_options
@click.option("--host", metavar="ADDRESS", help="Where the HTTP API listens; default 127.0.0.1.")
@click.option("--port", type=int, metavar="N", help="Its port; default 8000, 0 takes a free one.")
@click.option("--no-http", is_flag=True, help="No HTTP API.")
@connection_options
def run(no_http: bool, **options: Any) -> int:
    """Run the service: workers, HTTP API, raw pushes, events; until SIGTERM or Ctrl-C."""
    from supervisor.service import ScraperWorkerService

    config = config_of(options)
    configure_logs(config.log_level)
    for typo in likely_typos():
        log.warning("a setting is not set", problem=typo)

    async def serve() -> int:
        service = ScraperWorkerService(config=config, serve_http=not no_http)
        return await service.run_until_signal()

    return asyncio.run(serve())


@click.command()
@worker_options
@connection_options
def check(**options: Any) -> int:
    """Would the service start? Names all faults at once (exit code 2), and what is risky."""
    config = config_of(options)
    load_presets(config.presets_file)
    for typo in likely_typos():
        err.print(f"- warning: {typo}", markup=False)
    problems = asyncio.run(server_problems(config)) if config.redis_url else ()
    for problem in problems:
        err.print(f"- {'' if problem.is_fatal else 'warning: '}{problem}", markup=False)
    if any(problem.is_fatal for problem in problems):
        return 2
    where = safe_url(config.redis_url) if config.redis_url else "the embedded server"
    err.print(f"the configuration is right; queue {config.queue_name} on {where}", markup=False)
    return 0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object: name -> job fields.")
@worker_options
@connection_options
def presets(as_json: bool, **options: Any) -> int:
    """List the presets: the named sets of job fields that --preset takes."""
    found = load_presets(config_of(options).presets_file)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return 0
    for name, fields in sorted(found.items()):
        click.echo(f"{name:12} {json.dumps(fields)}")
    return 0


async def server_problems(config: Config) -> Sequence[ServerProblem]:
    """What is amiss with the server that the settings name."""
    client = connect(config.server_url or "")
    # Of a cluster, the queue's node is asked, which is no replica.
    set_home(client, Keys(config.queue_name).key("meta"))
    try:
        return (await check_server(client, config.replicas_wanted)).problems
    finally:
        await client.aclose()


COMMANDS = (run, check, presets)
