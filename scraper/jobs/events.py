"""Reads the queue's event stream, with a position that survives reconnects and tells gaps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from scraper.jobs.keys import Keys

READ_COUNT = 500
BLOCK_MS = 1000


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """One event. `id` is its place in the stream (`Last-Event-ID`), `at_ms` the Redis clock.

    `detail` holds the rest by the names of `interfaces.md` §6. A `gap` says that events between
    `detail["after"]` and `detail["before"]` were trimmed before this reader came to them.
    `origin` is a token of the supervisor that it is about, "" for events of jobs.
    """

    id: str
    name: str
    job_id: str
    customer_id: str
    at_ms: int
    detail: dict[str, Any]
    origin: str = ""

    def to_json(self) -> dict[str, Any]:
        """The event as users see it."""
        ids = {"jobId": self.job_id, "customerId": self.customer_id} if self.job_id else {}
        return {"event": self.name, "id": self.id, "at": self.at_ms, **ids, **self.detail}


def _event(entry_id: bytes, raw: dict[bytes, bytes]) -> QueueEvent:
    return QueueEvent(
        id=entry_id.decode(),
        name=raw[b"t"].decode(),
        job_id=raw[b"j"].decode(),
        customer_id=raw[b"c"].decode(),
        at_ms=int(raw[b"at"]),
        detail=orjson.loads(raw[b"d"]),
        origin=raw.get(b"o", b"").decode(),
    )


def _order(entry_id: str) -> tuple[int, int]:
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence or 0)


class EventReader:
    """Follows the events of one queue from a position on.

    `redis` must be a client that may block (no read time-out below BLOCK_MS). After an error call
    `read` again: the position is kept, so nothing is lost or repeated.
    """

    def __init__(self, redis: Any, queue: str, after: str | None = None) -> None:
        """`after`: the id of the last event seen; None starts with the next one to come."""
        self.redis = redis
        self.key = Keys(queue).key("events")
        self.position = after

    async def start(self) -> None:
        """Fix the position, so that every event from now on is read."""
        if self.position is None:
            newest = await self.redis.xrevrange(self.key, count=1)
            self.position = newest[0][0].decode() if newest else "0-0"

    async def read(self, block_ms: int = BLOCK_MS) -> list[QueueEvent]:
        """The next events, oldest first; empty when none came within `block_ms`."""
        await self.start()
        assert self.position is not None
        reply = await self.redis.xread({self.key: self.position}, READ_COUNT, block_ms)
        if not reply:
            return []
        entries = reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))[0]
        events = [_event(entry_id, raw) for entry_id, raw in entries]
        gap = await self._gap(events[0].id)
        self.position = events[-1].id
        return [gap, *events] if gap else events

    async def _gap(self, first: str) -> QueueEvent | None:
        if self.position in (None, "0-0"):
            return None
        info = await self.redis.xinfo_stream(self.key)
        deleted = info.get("max-deleted-entry-id", b"0-0")
        deleted = deleted.decode() if isinstance(deleted, bytes) else deleted
        assert self.position is not None
        if _order(deleted) <= _order(self.position):
            return None
        detail = {"after": self.position, "before": first}
        return QueueEvent(first, "gap", "", "", _order(first)[0], detail)

    async def __aiter__(self) -> AsyncIterator[QueueEvent]:
        while True:
            for event in await self.read():
                yield event
