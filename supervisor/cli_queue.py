"""Runs one coroutine on an open queue: what almost every command does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from scraper.jobs import Config, JobQueue, open_queue

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
