"""Background duties of the service: what runs until it is cancelled, and comes back if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from scraper.jobs.ending import end_tasks

log = structlog.get_logger(__name__)

RESTART_S = 1.0


class Duties:
    """Runs endless coroutines. One that raises is logged and started again: none is lost to a
    fault that its own code did not foresee."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, duty: Callable[[], Awaitable[None]]) -> None:
        self._tasks[name] = asyncio.create_task(_keep(name, duty), name=name)

    async def cancel(self, prefix: str = "") -> None:
        """End those whose names begin like this ("": all) and wait until they have."""
        chosen = [name for name in self._tasks if name.startswith(prefix)]
        tasks = [self._tasks.pop(name) for name in chosen]
        await end_tasks(tasks)


async def _keep(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await duty()
            return
        except Exception:
            log.exception("a duty failed and starts again", duty=name)
        await asyncio.sleep(RESTART_S)
