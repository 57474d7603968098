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


def _events(entry_id: bytes, raw: dict[bytes, bytes]) -> list[QueueEvent]:
    """What an entry tells: one event, or one for each of the pages in `u`.

    The last of several has the entry's id, the k-th before it `<id>.<k>`.
    """
    name, detail = raw[b"t"].decode(), orjson.loads(raw[b"d"])
    job_id, customer_id = raw[b"j"].decode(), raw[b"c"].decode()
    at_ms, origin, last = int(raw[b"at"]), raw.get(b"o", b"").decode(), entry_id.decode()
    if b"u" not in raw:
        return [QueueEvent(last, name, job_id, customer_id, at_ms, detail, origin)]
    urls = raw[b"u"].decode().split(" ")
    ids = [*(f"{last}.{number}" for number in range(1, len(urls))), last]
    return [
        QueueEvent(event_id, name, job_id, customer_id, at_ms, {"url": url, **detail}, origin)
        for event_id, url in zip(ids, urls, strict=True)
    ]


def _place(event_id: str) -> tuple[str, int]:
    """Where to read on after an event: the entry before, and how many events of the next one are
    not news any more."""
    entry, _, number = event_id.partition(".")
    if not number:
        return entry, 0
    ms, sequence = _order(entry)
    before = f"{ms}-{sequence - 1}" if sequence else f"{max(0, ms - 1)}-{2**64 - 1}"
    return before, int(number)


def _order(entry_id: str) -> tuple[int, int]:
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence.partition(".")[0] or 0)


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
        # Which event since the stream began the position is at, where that is known.
        self._number: int | None = None

    async def start(self) -> None:
        """Fix the position, so that every event from now on is read."""
        if self.position is None:
            newest = await self.redis.xrevrange(self.key, count=1)
            self.position = newest[0][0].decode() if newest else "0-0"

    async def read(self, block_ms: int = BLOCK_MS) -> list[QueueEvent]:
        """The next events, oldest first; empty when none came within `block_ms`."""
        await self.start()
        assert self.position is not None
        # One as a sign that there are some; all are read together with what was trimmed, since
        # both must be of one instant.
        place, _ = _place(self.position)
        is_there = await self.redis.xread({self.key: place}, 1, block_ms)
        return await self.read_now() if is_there else []

    async def read_now(self) -> list[QueueEvent]:
        """The next events that are there already, oldest first."""
        await self.start()
        assert self.position is not None
        place, told = _place(self.position)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.xread({self.key: place}, READ_COUNT)
            pipe.xinfo_stream(self.key)
            reply, info = await pipe.execute(raise_on_error=False)
        if isinstance(reply, Exception):
            raise reply
        if not reply:
            return []
        entries = reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))[0]
        events = [event for entry_id, raw in entries for event in _events(entry_id, raw)]
        gap = self._gap(events[0].id, info)
        if told and _order(events[0].id) == _order(self.position):
            events = events[told:]
        if len(entries) < READ_COUNT:
            self._number = int(info["entries-added"])
        elif self._number is not None:
            self._number += len(entries)
        # Not by the events: a position that nobody was given may leave none of them.
        self.position = entries[-1][0].decode()
        return [gap, *events] if gap else events

    def _gap(self, first: str, info: Any) -> QueueEvent | None:
        """What to say when events behind the position are gone.

        Redis keeps no record of what it trimmed. A reader that has read to the end once counts,
        and is right; one that comes back with a position alone may hear of a gap also where the
        last event that it saw was the last one trimmed.
        """
        assert self.position is not None
        entry = info["first-entry"]
        trimmed = int(info["entries-added"]) - int(info["length"])
        if self.position == "0-0" or trimmed <= 0 or entry is None:
            return None
        if _order(self.position) >= _order(entry[0].decode()):
            return None
        if self._number is not None and trimmed <= self._number:
            return None
        detail = {"after": self.position, "before": first}
        return QueueEvent(first, "gap", "", "", _order(first)[0], detail)

    async def __aiter__(self) -> AsyncIterator[QueueEvent]:
        while True:
            for event in await self.read():
                yield event
