"""Reads the health of a running service now and then, and tells when memory gets scarce."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from supervisor.events import Event, HealthUpdate, HighMemoryUsage
from supervisor.health import HealthStatus

log = structlog.get_logger(__name__)


class HealthMonitor:
    """Publishes `healthUpdate` at each reading, `highMemoryUsage` when the threshold is passed:
    once, until a reading is below it again. `last` is the newest reading."""

    def __init__(
        self,
        read: Callable[[], Awaitable[HealthStatus]],
        publish: Callable[[Event], object],
        *,
        interval_s: float,
        memory_threshold: float,
    ) -> None:
        self._read = read
        self._publish = publish
        self._interval_s = interval_s
        self._threshold = memory_threshold
        self._is_high = False
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
        usage = status.memory_usage
        if usage is None:
            return
        was_high, self._is_high = self._is_high, usage.share >= self._threshold
        if self._is_high and not was_high:
            log.warning("memory use is high", used=usage.used, percent=usage.percent_used)
            self._publish(
                HighMemoryUsage(used=usage.used, total=usage.total, percent_used=usage.percent_used)
            )
