"""`preview URL`: which links of a site a job would take, without a job."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from scraper.jobs import Config, parse_job
from scraper.jobs.job_types import job_types
from scraper.jobs.presets import load_presets
from supervisor.cli_options import Place, job_fields, job_options, place_of, place_options
from supervisor.cli_output import print_json
from supervisor.preview import run_preview

SHOWN = 40


@click.command()
@click.argument("url")
@click.option("--type", "job_type", default="full-crawl", metavar="TYPE", help="Job type.")
@click.option("--all", "shows_all", is_flag=True, help=f"Show more than {SHOWN} URLs of each list.")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON.")
@job_options
@place_options
def preview(url: str, job_type: str, shows_all: bool, as_json: bool, **options: Any) -> int:
    """Show which links of a site's start page and sitemaps a job would take, and why."""
    place = place_of(options)
    shown = asyncio.run(_preview(place, job_fields(job_type, url, options)))
    if as_json:
        print_json(shown)
    else:
        _print(shown, None if shows_all else SHOWN)
    return 1 if shown["problem"] else 0


async def _preview(place: Place, fields: dict[str, Any]) -> dict[str, Any]:
    if place.config is not None:
        return await _preview_here(place.config, fields)
    from supervisor.desk_http import HttpDesk

    desk = HttpDesk(place.server, place.token)
    try:
        return await desk.preview(fields)
    finally:
        await desk.close()


async def _preview_here(config: Config, fields: dict[str, Any]) -> dict[str, Any]:
    presets = load_presets(config.presets_file)
    return await run_preview(parse_job(fields, job_types=job_types(), presets=presets), config)


def _print(shown: dict[str, Any], most: int | None) -> None:
    moved = (
        f", which is {shown['finalUrl']}" if shown["finalUrl"] not in (None, shown["url"]) else ""
    )
    click.echo(f"{shown['url']}{moved}: {shown['problem'] or shown['status']}")
    _print_list("links of the start page", shown["links"], most)
    listed = shown["sitemaps"]
    for file in listed["files"]:
        click.echo(f"sitemap {file['url']}: {file['outcome']}")
    if listed["filesUnread"]:
        click.echo(f"{listed['filesUnread']} more sitemaps are not read here")
    _print_list("URLs of sitemaps", listed, most)


def _print_list(name: str, found: dict[str, Any], most: int | None) -> None:
    left_out = found["leftOut"]
    reasons = ", ".join(f"{reason} {times}" for reason, times in left_out.items())
    unused = "" if found["isUsed"] else " (this job does not use them)"
    text = f"{name}: {found['taken']} taken, {sum(left_out.values())} left out"
    click.echo(f"\n{text}{f' ({reasons})' if reasons else ''}{unused}")
    for item in found["urls"][:most]:
        sign = "-" if item["reason"] else "+"
        click.echo(f"  {sign} {item['url']}{'  ' + item['why'] if item['reason'] else ''}")
    if most is not None and len(found["urls"]) > most:
        click.echo(f"  ... and {len(found['urls']) - most} more (--all, --json)")


COMMANDS = (preview,)
