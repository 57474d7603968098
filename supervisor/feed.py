"""Brings the events of jobs and of other supervisors from the stream to the listeners."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from scraper.jobs import EventReader, JobQueue, QueueEvent
from scraper.jobs.connection import REDIS_ERRORS
from supervisor.events import Event, from_queue
from supervisor.listeners import Listeners

log = structlog.get_logger(__name__)

RETRY_S = 0.5


class EventFeed:
    """Reads on from a kept position: a lost connection loses no event, and a slow listener
    delays the reading instead of filling memory. What Redis has trimmed by then is a `gap`."""

    def __init__(
        self,
        queue: JobQueue,
        listeners: Listeners,
        is_own_worker: Callable[[str], bool],
        origin: str,
    ) -> None:
        """`origin`: the token of our own supervisor's events, which listeners have already."""
        self._queue = queue
        self._listeners = listeners
        self._is_own_worker = is_own_worker
        self._origin = origin
        self._reader = EventReader(queue.blocking, queue.name)
        self._is_away = False
        # Read but not delivered: they outlive a cancelled `run`.
        self._pending: deque[QueueEvent] = deque()

    async def start(self) -> None:
        """Fix the position: every event from now on is delivered. Raises redis-py's errors."""
        await self._reader.start()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._deliver()
            try:
                self._pending.extend(await self._reader.read())
            except REDIS_ERRORS as error:
                if not self._is_away:
                    log.warning("events wait for Redis", error=str(error))
                self._is_away = True
                await asyncio.sleep(RETRY_S)
            else:
                self._is_away = False

    async def catch_up(self) -> None:
        """Deliver what is there by now. Raises redis-py's errors."""
        await self._deliver()
        while events := await self._reader.read(block_ms=1):
            self._pending.extend(events)
            await self._deliver()

    async def _deliver(self) -> None:
        while self._pending:
            first = self._pending[0]
            if first.origin == self._origin or not self._listeners.hears(first.name):
                self._pending.popleft()
                continue
            await self._listeners.wait_for_room(first.name)
            raw = self._pending.popleft()
            event = self._record(raw)
            if event is not None:
                self._listeners.publish(event, is_own=not raw.origin and self._is_own(event))
            # A long batch must not hold the loop.
            await asyncio.sleep(0)

    def _record(self, raw: QueueEvent) -> Event | None:
        try:
            return from_queue(raw, self._queue)
        except (TypeError, ValueError) as error:
            log.error("an event cannot be read", event_name=raw.name, id=raw.id, error=str(error))
            return None

    def _is_own(self, event: Event) -> bool:
        """Events of jobs that name no worker are of the queue, and for all to hear."""
        worker_id = getattr(event, "worker_id", "")
        return not worker_id or self._is_own_worker(worker_id)
