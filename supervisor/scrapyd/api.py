"""The endpoints of scrapyd 1.6: each takes arguments and gives the fields of its answer."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from scraper.jobs import InvalidJobError, JobQueue
from scraper.jobs.job_arguments import job_arguments
from scraper.jobs.version import VERSION
from supervisor.scrapyd.arguments import Arguments, ScrapydError
from supervisor.scrapyd.jobs import (
    FINISHED,
    PENDING,
    PROJECT,
    RUNNING,
    list_finished,
    list_pending,
    list_running,
    scrapyd_state,
)

Endpoint = Callable[[JobQueue, Arguments], Awaitable[dict[str, Any]]]

_NO_UPLOADS = (
    "this server takes no code: its spiders are those of its release ({what}). Add a job type as a "
    "file in scraper/spiders/ and restart it, or deploy to a scrapyd of your own"
)


def _page_count(text: str) -> tuple[str, int]:
    return "maxPages", int(text)


def _timeout(text: str) -> tuple[str, int]:
    return "maxDuration", int(float(text) * 1000)


def _depth(text: str) -> tuple[str, int]:
    return "maxDepth", int(text)


# Scrapy's settings that say what our fields of a job say.
_SETTINGS: Mapping[str, Callable[[str], tuple[str, int]]] = {
    "CLOSESPIDER_PAGECOUNT": _page_count,
    "CLOSESPIDER_ITEMCOUNT": _page_count,
    "CLOSESPIDER_TIMEOUT": _timeout,
    "DEPTH_LIMIT": _depth,
}


def _check_project(project: str | None) -> None:
    if project is not None and project != PROJECT:
        raise ScrapydError(f"project '{project}' not found")


def _check_version(version: str | None) -> None:
    if version and version != VERSION:
        raise ScrapydError(f"version '{version}' not found")


async def daemonstatus(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    by_state = (await queue.reader.counts()).by_state
    return {
        name: sum(by_state[state.value] for state in states)
        for name, states in (("pending", PENDING), ("running", RUNNING), ("finished", FINISHED))
    }


async def schedule(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    """A job of ours: the spider's arguments are its fields."""
    project, spider = arguments.take("project"), arguments.take("spider")
    version = arguments.take_or("_version", None)
    job_id = arguments.take_or("jobid", None) or uuid.uuid1().hex
    priority = arguments.take_number("priority")
    settings = _from_settings(arguments.take_all("setting"))
    _check_project(project)
    _check_version(version)
    if spider not in queue.job_types:
        raise ScrapydError(f"spider '{spider}' not found")
    if not -1000 <= priority <= 1000:
        raise ScrapydError(f"priority is invalid: {priority:g} is not from -1000 to 1000")
    fields = {**job_arguments(spider, arguments.rest()), **settings}
    fields |= {"type": spider, "jobId": job_id, "priority": round(priority)}
    try:
        spec = queue.parse(fields)
    except InvalidJobError as error:
        raise ScrapydError(
            f"the spider arguments are no job: {error} (they are the fields of a job, such as "
            "url=https://example.com/ and maxPages=50; docs/jobs.md lists them)"
        ) from error
    [handle] = await queue.add_jobs([spec])
    if not handle.was_new:
        stored = await queue.redis.hget(queue.transitions.keys.job(job_id), "spec")
        if stored is not None and stored.decode() != spec.to_json():
            raise ScrapydError(f"there is another job '{job_id}': give another jobid")
    return {"jobid": job_id}


def _from_settings(given: list[str]) -> dict[str, Any]:
    """Fields of a job from `setting=NAME=VALUE`. Raises ScrapydError for those that cannot be."""
    fields = {}
    for text in given:
        name, is_pair, value = text.partition("=")
        if not is_pair:
            raise ScrapydError(f"setting is invalid: {text!r} is not NAME=VALUE")
        if name not in _SETTINGS:
            raise ScrapydError(
                f"setting {name} is not for one job here: workers are shared, so set what the "
                f"service has for it (docs/configuration.md). Of a job: {', '.join(_SETTINGS)}"
            )
        try:
            field, number = _SETTINGS[name](value)
        except (ValueError, OverflowError) as error:
            raise ScrapydError(f"setting {name} is invalid: {error}") from error
        fields[field] = number
    return fields


async def cancel(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    project, job_id = arguments.take("project"), arguments.take("job")
    arguments.take_or("signal", "INT")
    _check_project(project)
    if await queue.reader.state(job_id) is None:
        return {"prevstate": None}
    before = scrapyd_state(await queue.cancel(job_id))
    return {"prevstate": None if before == "finished" else before}


async def status(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    job_id, project = arguments.take("job"), arguments.take_or("project", None)
    _check_project(project)
    state = await queue.reader.state(job_id)
    return {"currstate": None if state is None else scrapyd_state(state)}


async def listprojects(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    return {"projects": [PROJECT]}


async def listversions(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    return {"versions": [VERSION] if arguments.take("project") == PROJECT else []}


async def listspiders(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    project, version = arguments.take("project"), arguments.take_or("_version", None)
    _check_project(project)
    _check_version(version)
    return {"spiders": sorted(queue.job_types)}


async def listjobs(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    _check_project(arguments.take_or("project", None))
    return {
        "pending": await list_pending(queue),
        "running": await list_running(queue),
        "finished": await list_finished(queue),
    }


async def addversion(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    for name in ("project", "version", "egg"):
        arguments.take(name)
    raise ScrapydError(_NO_UPLOADS.format(what=VERSION))


async def delversion(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    project, version = arguments.take("project"), arguments.take("version")
    _check_version(version)
    _check_project(project)
    raise ScrapydError(_NO_UPLOADS.format(what=VERSION))


async def delproject(queue: JobQueue, arguments: Arguments) -> dict[str, Any]:
    _check_project(arguments.take("project"))
    raise ScrapydError(_NO_UPLOADS.format(what=VERSION))


# Path -> method and function.
ENDPOINTS: Mapping[str, tuple[str, Endpoint]] = {
    "/daemonstatus.json": ("GET", daemonstatus),
    "/schedule.json": ("POST", schedule),
    "/cancel.json": ("POST", cancel),
    "/status.json": ("GET", status),
    "/listprojects.json": ("GET", listprojects),
    "/listversions.json": ("GET", listversions),
    "/listspiders.json": ("GET", listspiders),
    "/listjobs.json": ("GET", listjobs),
    "/addversion.json": ("POST", addversion),
    "/delversion.json": ("POST", delversion),
    "/delproject.json": ("POST", delproject),
}
