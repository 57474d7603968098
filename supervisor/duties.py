"""Background duties of the service: what runs until it is cancelled, and comes back if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

RESTART_S = 1.0


class Duties:
    """Runs endless coroutines. One that raises is logged and started again: none is lost to a
    fault that its own code did not foresee."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, duty: Callable[[], Awaitable[None]]) -> None:
        self._tasks[name] = asyncio.create_task(_keep(name, duty), name=name)

    async def cancel(self, *names: str) -> None:
        """End some of them (none named: all) and wait until they have."""
        chosen = names or tuple(self._tasks)
        tasks = [task for name in chosen if (task := self._tasks.pop(name, None))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await duty()
            return
        except Exception:
            log.exception("a duty failed and starts again", duty=name)
        await asyncio.sleep(RESTART_S)
