"""Runs one coroutine on an open queue, or at a service's desk: what almost every command does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from scraper.jobs import Config, JobQueue, open_queue
from supervisor.cli_options import Place
from supervisor.desk import Desk
from supervisor.desk_redis import RedisDesk

T = TypeVar("T")


def with_queue(config: Config, work: Callable[[JobQueue], Awaitable[T]]) -> T:
    """Open the queue, await `work(queue)`, close it."""

    async def opened() -> T:
        queue = await open_queue(config, client_name="cli")
        try:
            return await work(queue)
        finally:
            await queue.shutdown()

    return asyncio.run(opened())


def with_desk(place: Place, work: Callable[[Desk], Awaitable[T]]) -> T:
    """Go to the desk of that place, await `work(desk)`, leave it."""

    async def opened() -> T:
        desk = await open_desk(place)
        try:
            return await work(desk)
        finally:
            await desk.close()

    return asyncio.run(opened())


async def open_desk(place: Place) -> Desk:
    """The desk of that place. Raises JobsError."""
    if place.config is not None:
        return RedisDesk(await open_queue(place.config, client_name="cli"))
    from supervisor.desk_http import HttpDesk

    return HttpDesk(place.server, place.token)
