"""The queue as a whole: health, pause, refused pushes, hosts, presets."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from scraper.jobs import JobQueue, JobsError
from scraper.jobs.backlog import busy_hosts, read_hosts
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.history import HistoryPoint, read_history
from supervisor.fleet import read_fleet
from supervisor.http.access import operator_only
from supervisor.http.event_stream import EventHub
from supervisor.http.metrics import CONTENT_TYPE, read_all, render, render_down
from supervisor.http.models import (
    Alive,
    Health,
    History,
    HistoryWanted,
    HostList,
    HostsWanted,
    PresetList,
    QueueChange,
    RejectedList,
    Slice,
)
from supervisor.http.replies import Asker, Queue, errors, reply
from supervisor.queue_health import read_health

ANSWERS_WITHIN_S = 3.0

router = APIRouter(tags=["queue"])
operator = APIRouter(tags=["queue"], dependencies=[Depends(operator_only)])


@operator.get(
    "/health", response_model=Health,
    responses={503: {"model": Health, "description": "unhealthy"},
               **{k: v for k, v in errors().items() if k != 503}},
    summary="The health record",
)  # fmt: skip
async def health(queue: Queue) -> Response:
    """Of the queue and of the workers on all machines; 503 when something is wrong."""
    found = await _health(queue)
    return reply(found, 200 if found["healthy"] else 503)


async def _health(queue: JobQueue) -> dict[str, Any]:
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            seen = (await read_health(queue)).to_json()
            fleet = await read_fleet(queue)
    except (JobsError, TimeoutError, *REDIS_ERRORS) as error:
        problem = str(error) or "Redis does not answer in time"
        return {"healthy": False, "problems": [problem], "redisConnected": False}
    problems = list(seen["problems"])
    for supervisor in fleet["supervisors"]:
        for problem in (supervisor.get("health") or {}).get("problems", []):
            if problem not in problems:
                problems.append(f"{supervisor['name']}: {problem}")
    return {
        "healthy": not problems,
        "problems": problems,
        "redisConnected": True,
        "totalWorkers": len(fleet["workers"]),
        "queue": seen,
        "supervisors": fleet["supervisors"],
    }


@operator.get(
    "/metrics", response_class=Response, summary="For Prometheus",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors()},
)  # fmt: skip
async def metrics(request: Request, queue: Queue) -> Response:
    """In its text format, read out of Redis; while that is away, that it is."""
    state = request.app.state
    hub: EventHub = state.hub
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            readings = await read_all(
                queue, event_lag_s=hub.lag_s, event_streams=hub.clients, requests=state.answered
            )
    except (TimeoutError, *REDIS_ERRORS):
        return Response(render_down(queue.name), media_type=CONTENT_TYPE)
    return Response(render(readings), media_type=CONTENT_TYPE)


@operator.get("/hosts", response_model=HostList, responses=errors(), summary="Hosts")
async def hosts(queue: Queue, part: Annotated[HostsWanted, Query()]) -> Response:
    """How politeness stands towards the hosts that work waits for, and those of running jobs."""
    redis, keys = queue.redis, queue.transitions.keys
    names = await busy_hosts(redis, keys, part.limit)
    return reply({"hosts": await read_hosts(redis, keys, names)})


@operator.get("/history", response_model=History, responses=errors(), summary="For graphs")
async def history(queue: Queue, wanted: Annotated[HistoryWanted, Query()]) -> Response:
    """The queue and the fleet every 10 s, for a day; at most `points` of them."""
    redis, keys = queue.redis, queue.transitions.keys
    seconds, _ = await redis.time()
    since_ms = max(wanted.since, (seconds - wanted.minutes * 60) * 1000)
    points = await read_history(redis, keys, since_ms=since_ms)
    step = -(-len(points) // wanted.points) or 1
    # Counted from the end: the newest point is always there.
    return reply({"points": [_point(point) for point in points[::-1][::step][::-1]]})


def _point(point: HistoryPoint) -> dict[str, int]:
    shown = {to_camel(name): value for name, value in asdict(point).items()}
    return {"at": shown.pop("atMs"), **shown}


@router.get("/health/live", response_model=Alive, summary="Whether this server runs")
async def live() -> Response:
    """Asks nobody else. Needs no token."""
    return reply({"status": "ok"})


@router.get(
    "/health/ready", response_model=Alive, responses={503: errors()[503]},
    summary="Whether jobs can be submitted",
)  # fmt: skip
async def ready(queue: Queue) -> Response:
    """Asks Redis. Needs no token."""
    async with queue.translated():
        await queue.redis.ping()
    return reply({"status": "ok"})


@operator.post("/queue/pause", response_model=QueueChange, responses=errors(), summary="Pause")
async def pause(queue: Queue) -> Response:
    """No more pages are handed out; those in flight are finished."""
    return reply({"paused": True, "changed": await queue.pause_queue()})


@operator.post("/queue/resume", response_model=QueueChange, responses=errors(), summary="Go on")
async def resume(queue: Queue) -> Response:
    """Hand out pages again."""
    return reply({"paused": False, "changed": await queue.resume_queue()})


@router.get(
    "/rejected", response_model=RejectedList, responses=errors(),
    summary="Raw pushes that were refused",
)  # fmt: skip
async def rejected(queue: Queue, asker: Asker, part: Annotated[Slice, Query()]) -> Response:
    """The newest first, with the reasons. A customer sees those that name it."""
    found, cursor = await queue.reader.rejected(part.limit, int(part.cursor or 0))
    shown = [push for push in found if asker.is_operator or asker.may_see(_customer_of(push))]
    return reply({"rejected": shown, "nextCursor": str(cursor) if cursor else None})


def _customer_of(push: dict[str, Any]) -> str:
    """Whom a refused push names, as far as it can be read."""
    try:
        named = orjson.loads(push["payload"])["customerId"]
    except (ValueError, KeyError, TypeError):
        return ""
    return named if isinstance(named, str) else ""


@router.get("/presets", response_model=PresetList, responses=errors(), summary="Presets")
async def presets(queue: Queue) -> Response:
    """The names for `newConfigPreset`, with the fields that each sets."""
    return reply({"presets": {name: dict(fields) for name, fields in queue.presets.items()}})
