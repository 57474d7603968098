"""Server-sent events from the queue's stream: each client at its own place, none of them missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import orjson
import structlog

from scraper.jobs import EventReader, JobQueue, QueueEvent
from scraper.jobs.connection import REDIS_ERRORS

log = structlog.get_logger(__name__)

RECONNECT_MS = 1000
HEARTBEAT_S = 15.0
BLOCK_MS = 5000
RETRY_S = 0.5
# Events that come one after another wake the clients together.
GATHER_S = 0.02
MAX_CLIENTS = 500


class EventHub:
    """Wakes the clients when there are new events; they read them by themselves."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._key = queue.transitions.keys.key("events")
        self._pulse = asyncio.Event()
        self.clients = 0
        # How late the newest event was seen, by the clock of Redis.
        self.lag_s = 0.0
        self.is_closing = False

    @property
    def pulse(self) -> asyncio.Event:
        """Set once, at the next event; take it before you look whether there are any."""
        return self._pulse

    async def run(self) -> None:
        """Watch the stream until cancelled."""
        position: bytes | None = None
        while True:
            try:
                if position is None:
                    position = await self._newest()
                if await self._queue.blocking.xread({self._key: position}, 1, BLOCK_MS):
                    position = await self._newest()
                    self._beat()
                    await self._note_lag(position)
                    await asyncio.sleep(GATHER_S)
            except REDIS_ERRORS as error:
                log.debug("event streams wait for Redis", error=str(error))
                await asyncio.sleep(RETRY_S)

    def close(self) -> None:
        """End the streams of all clients: they connect again, to whoever comes next."""
        self.is_closing = True
        self._beat()

    async def _newest(self) -> bytes:
        newest = await self._queue.redis.xrevrange(self._key, count=1)
        if not newest:
            return b"0-0"
        place: bytes = newest[0][0]
        return place

    async def _note_lag(self, place: bytes) -> None:
        seconds, microseconds = await self._queue.redis.time()
        self.lag_s = max(0.0, seconds + microseconds / 1e6 - int(place.partition(b"-")[0]) / 1000)

    def _beat(self) -> None:
        self._pulse.set()
        self._pulse = asyncio.Event()


def _encoded(event: QueueEvent) -> bytes:
    text = orjson.dumps(event.to_json())
    # A gap stands for the events before the next one, which has that place in the stream.
    place = b"" if event.name == "gap" else b"id: %s\n" % event.id.encode()
    return b"%sevent: %s\ndata: %s\n\n" % (place, event.name.encode(), text)


async def sse(
    hub: EventHub,
    reader: EventReader,
    wants: Callable[[QueueEvent], bool],
    is_last: Callable[[QueueEvent], bool] = lambda event: False,
    *,
    follow: bool = True,
) -> AsyncIterator[bytes]:
    """The events that a client wants from the reader's place on, until it goes, the server ends,
    or one that is the last; without `follow`, up to the newest. The place goes with each, so that
    it can go on behind it."""
    hub.clients += 1
    try:
        yield b"retry: %d\n\n" % RECONNECT_MS
        said_s = time.monotonic()
        while not hub.is_closing:
            pulse = hub.pulse
            try:
                events = await reader.read_now()
            except REDIS_ERRORS as error:
                log.debug("an event stream waits for Redis", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            wanted = [event for event in events if wants(event)]
            if wanted:
                yield b"".join(map(_encoded, wanted))
                said_s = time.monotonic()
                if any(map(is_last, wanted)):
                    return
            elif time.monotonic() - said_s >= HEARTBEAT_S:
                # Also moves the client's place over what it does not want.
                yield b": alive\nid: %s\n\n" % (reader.position or "0-0").encode()
                said_s = time.monotonic()
            if not events and not follow:
                return
            if not events:
                await _wait(pulse, HEARTBEAT_S - (time.monotonic() - said_s))
    finally:
        hub.clients -= 1


async def _wait(pulse: asyncio.Event, longest_s: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, longest_s)):
            await pulse.wait()
    except TimeoutError:
        pass
