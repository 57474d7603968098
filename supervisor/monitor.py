"""Reads the health of a running service now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from supervisor.events import Event, HealthUpdate
from supervisor.health import HealthStatus
from supervisor.memory import MemoryUsage


class HealthMonitor:
    """Publishes `healthUpdate` at each reading, and hands its memory part on. `last` is the newest
    reading."""

    def __init__(
        self,
        read: Callable[[], Awaitable[HealthStatus]],
        publish: Callable[[Event], object],
        *,
        on_memory: Callable[[MemoryUsage], object],
        interval_s: float,
    ) -> None:
        self._read = read
        self._publish = publish
        self._interval_s = interval_s
        self._on_memory = on_memory
        self.last: HealthStatus | None = None

    async def run(self) -> None:
        """Read until cancelled, at once for the first time."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """One reading."""
        status = self.last = await self._read()
        self._publish(HealthUpdate(health=status))
        if status.memory_usage is not None:
            self._on_memory(status.memory_usage)
