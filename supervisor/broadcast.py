"""Tells what happens here: to the listeners at once, and in the queue's stream to all machines."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable

import structlog

from scraper.jobs import JobQueue
from scraper.jobs.connection import REDIS_ERRORS
from supervisor.events import Event, Gap, HealthUpdate, signed, stream_entry
from supervisor.listeners import Listeners

log = structlog.get_logger(__name__)

# Events kept while Redis is away; of older ones a `gap` tells.
LONGEST_OUTBOX = 1000
BATCH = 100
RETRY_S = 0.5
# A health record that says nothing new goes into the stream this seldom: it would push the events
# of jobs out. Whoever wants the newest reads the fleet's reports.
SAME_HEALTH_EVERY_S = 60.0


class Broadcaster:
    """Publishes the events of one supervisor. `origin` marks its events in the stream."""

    def __init__(
        self,
        queue: JobQueue,
        listeners: Listeners,
        supervisor: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = secrets.token_hex(8)
        self._queue = queue
        self._listeners = listeners
        self._supervisor = supervisor
        self._clock = clock
        self._outbox: deque[tuple[str, str]] = deque()
        self._batch: list[tuple[str, str]] = []
        self._batches = 0
        self._dropped = 0
        self._has_some = asyncio.Event()
        self._was_healthy: bool | None = None
        self._health_told_s = 0.0

    def publish(self, event: Event) -> None:
        """Tell the listeners of this process now, those elsewhere soon."""
        event = signed(event, self._supervisor)
        self._listeners.publish(event)
        if isinstance(event, HealthUpdate) and not self._is_news(event):
            return
        if len(self._outbox) >= LONGEST_OUTBOX:
            self._outbox.popleft()
            self._dropped += 1
        self._outbox.append(stream_entry(event))
        self._has_some.set()

    def _is_news(self, update: HealthUpdate) -> bool:
        now_s, is_healthy = self._clock(), update.health.healthy
        is_same = is_healthy is self._was_healthy
        if is_same and now_s - self._health_told_s < SAME_HEALTH_EVERY_S:
            return False
        self._was_healthy, self._health_told_s = is_healthy, now_s
        return True

    async def run(self) -> None:
        """Send to the stream until cancelled."""
        is_away = False
        while True:
            try:
                await self.flush()
            except REDIS_ERRORS as error:
                if not is_away:
                    log.warning("our events wait for Redis", error=str(error))
                is_away = True
                await asyncio.sleep(RETRY_S)
            else:
                is_away = False
                await self._has_some.wait()

    async def flush(self) -> None:
        """Send what is there. Raises redis-py's errors; a batch whose fate is unknown then is
        sent again under its number, which adds it once."""
        while self._batch or self._outbox:
            if not self._batch:
                self._take_batch()
            await self._queue.transitions.publish_events(
                self._supervisor, self.origin, self._batches, self._batch
            )
            self._batch = []

    def _take_batch(self) -> None:
        if self._dropped:
            self._batch.append(stream_entry(Gap(count=self._dropped)))
            self._dropped = 0
        while self._outbox and len(self._batch) < BATCH:
            self._batch.append(self._outbox.popleft())
        self._batches += 1
        if not self._outbox:
            self._has_some.clear()
