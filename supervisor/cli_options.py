"""Options that several commands share: where Redis is, what a job is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from scraper.jobs import Config, load_config

F = TypeVar("F", bound=Callable[..., Any])

# Option -> field of the settings.
_CONNECTION = {"redis_url": "redis_url", "queue": "queue_name", "data_dir": "data_dir"}
_SERVICE = {
    "workers": "worker_count", "concurrency": "worker_concurrency",
    "host": "http_host", "port": "http_port",
}  # fmt: skip


def connection_options(command: F) -> F:
    """--redis-url, --queue, --data-dir."""
    for option in (
        click.option("--data-dir", metavar="DIR", help="Folder of the embedded server."),
        click.option("--queue", metavar="NAME", help="Queue; default QUEUE_NAME or scrape-queue."),
        click.option("--redis-url", metavar="URL", help="Redis; default REDIS_URL, else embedded."),
    ):
        command = option(command)
    return command


def place_options(command: F) -> F:
    """Where the service is: --server and --token, or as `connection_options`."""
    for option in (
        click.option(
            "--token", metavar="TOKEN", envvar="SCRAPER_TOKEN", show_envvar=True,
            help="For --server.",
        ),
        click.option(
            "--server", metavar="URL", envvar="SCRAPER_SERVER", show_envvar=True,
            help="Ask a service over HTTP instead of Redis.",
        ),
    ):  # fmt: skip
        command = option(command)
    return connection_options(command)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command goes: to Redis by `config`, or, without one, to `server` with `token`."""

    config: Config | None
    server: str = ""
    token: str | None = None


def place_of(options: dict[str, Any]) -> Place:
    """Where the service is; takes its options out of `options`."""
    server, token = options.pop("server", None), options.pop("token", None)
    if not server:
        return Place(config_of(options))
    if options.get("redis_url") or options.get("data_dir"):
        raise click.UsageError("--server goes with neither --redis-url nor --data-dir")
    if not re.match(r"https?://[^/]+", server):
        raise click.UsageError(f"--server {server!r} is no URL such as http://127.0.0.1:8000")
    for option in (*_CONNECTION, *_SERVICE):
        options.pop(option, None)
    return Place(None, server, token)


def worker_options(command: F) -> F:
    """--workers, --concurrency."""
    for option in (
        click.option("--concurrency", type=int, metavar="N", help="Jobs open at once a worker."),
        click.option("--workers", metavar="N", help="Worker processes, or auto."),
    ):
        command = option(command)
    return command


def config_of(options: dict[str, Any]) -> Config:
    """The settings: environment, then options; takes its options out of `options`."""
    overrides = {}
    for option, field in {**_CONNECTION, **_SERVICE}.items():
        value = options.pop(option, None)
        if value is not None:
            overrides[field] = value
    return load_config(**overrides)


def _flag(name: str, help_text: str) -> Callable[[F], F]:
    return click.option(name, is_flag=True, default=None, help=help_text)


JOB_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--customer-id", metavar="ID", help="Whose job it is; default 'default'."),
    click.option("--max-pages", type=int, metavar="N", help="Exact upper limit of recorded pages."),
    click.option("--include", "include_paths", multiple=True, metavar="PATTERN",
                 help="Only paths like this ('/blog/**', or 're:' and an RE2 expression)."),
    click.option("--exclude", "exclude_paths", multiple=True, metavar="PATTERN",
                 help="No paths like this; wins over --include."),
    click.option("--max-depth", type=int, metavar="N", help="Links away from the start page."),
    _flag("--include-subdomains", "Hosts below the site's own belong to it, too."),
    click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="HOST",
                 help="A further host (or host:port) that belongs to the job."),
    _flag("--follow-nofollow", "Follow links that ask robots not to."),
    _flag("--ignore-query", "Pages that differ in their query only are one."),
    click.option("--ignore-query-param", "ignore_query_params", multiple=True, metavar="NAME",
                 help="A parameter that names no page ('ref', 'utm_*'); replaces the usual list."),
    click.option("--sort-query/--no-sort-query", default=None,
                 help="Whether the order of parameters matters; sorted by default."),
    click.option("--sitemaps", type=click.Choice(["skip", "include", "only"]),
                 help="Take pages from the site's sitemaps besides links, or from them only."),
    click.option("--max-pages-per-shape", type=int, metavar="N",
                 help="Pages of one form (a calendar's, a query's) at most; default 2000."),
    click.option("--host-delay", type=int, metavar="MS",
                 help="Least time between two fetches of a host."),
    click.option("--host-concurrency", type=int, metavar="N",
                 help="Fetches of a host at once; lower than the settings' only."),
    _flag("--turbo", "Speed first: more pages at once, light extraction."),
    _flag("--own-site", "The customer's own site: politeness limits lifted."),
    _flag("--ecommerce", "Add the product of each page."),
    _flag("--ai", "Add markdown for language models."),
    _flag("--html", "Add the page's HTML to its record."),
    click.option("--verify-tls/--no-verify-tls", default=None,
                 help="Check the certificates of sites (default); without, it is recorded."),
    click.option("--preset", metavar="NAME", help="Apply a named preset."),
    click.option("--job-id", metavar="ID", help="The same id twice is the same job."),
    click.option("--priority", type=int, metavar="N", help="Higher first; default 0."),
    click.option("--delay", type=int, metavar="MS", help="Start this much later."),
    click.option("--attempts", type=int, metavar="N", help="Attempts of the job."),
    click.option("--backoff", metavar="TYPE[:MS]",
                 help="Wait between attempts: fixed or exponential, such as fixed:2000."),
    click.option("--max-duration", type=int, metavar="MS", help="End the job after this time."),
    click.option("--result-ttl", type=int, metavar="S", help="Keep the result this long."),
    click.option("--metadata", metavar="JSON", help="Any JSON object; comes back in results."),
    click.option("--webhook", metavar="URL|JSON",
                 help='Call this address at events of the job, or {"url", "events", "secret"}.'),
)  # fmt: skip

# Flags whose job field has another name.
_RENAMED = {
    "turbo": "turboMode",
    "ecommerce": "ecommerceMode",
    "ai": "aiOptimization",
    "include_paths": "includePaths",
    "exclude_paths": "excludePaths",
}


def job_options(command: F) -> F:
    """All options of a job, under their names in kebab-case."""
    for option in reversed(JOB_OPTIONS):
        command = option(command)
    return command


def job_fields(job_type: str, url: str, options: dict[str, Any]) -> dict[str, Any]:
    """A job as its JSON would be, from the given options."""
    fields: dict[str, Any] = {"type": job_type, "url": url}
    preset = options.pop("preset", None)
    if preset:
        fields |= {"useNewConfig": True, "newConfigPreset": preset}
    for option, value in options.items():
        if value is None or value == ():
            continue
        head, *rest = option.split("_")
        name = _RENAMED.get(option) or head + "".join(part.capitalize() for part in rest)
        fields[name] = list(value) if isinstance(value, tuple) else value
    if "metadata" in fields:
        fields["metadata"] = _json_object("--metadata", fields["metadata"])
    if "backoff" in fields:
        fields["backoff"] = _backoff(fields["backoff"])
    if "webhook" in fields:
        text = fields["webhook"]
        is_json = text.startswith("{")
        fields["webhook"] = _json_object("--webhook", text) if is_json else {"url": text}
    return fields


def _json_object(option: str, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{option} is no JSON: {error}") from error


def _backoff(text: str) -> dict[str, Any]:
    kind, _, delay = text.partition(":")
    if delay and not delay.isdecimal():
        raise click.BadParameter(f"--backoff {text}: give milliseconds, such as {kind}:2000")
    return {"type": kind, "delay": int(delay)} if delay else {"type": kind}
