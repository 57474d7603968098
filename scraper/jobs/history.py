"""The history of a queue that graphs are drawn from: a point every 10 s, for a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from scraper.jobs.keys import Keys

HISTORY_EVERY_MS = 10_000
HISTORY_POINTS = 24 * 3600 * 1000 // HISTORY_EVERY_MS


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The queue and its whole fleet at one moment (`at_ms`: epoch by the clock of Redis).

    `waiting`, `delayed`, `active`, `paused`: jobs then. `pages`, `completed`, `failed`: counted
    since the queue began (pages committed, jobs ended). `workers` are wanted, `running` of them
    run, on all machines together, as is the memory in bytes.
    """

    at_ms: int
    waiting: int = 0
    delayed: int = 0
    active: int = 0
    paused: int = 0
    pages: int = 0
    completed: int = 0
    failed: int = 0
    workers: int = 0
    running: int = 0
    memory_used: int = 0
    memory_total: int = 0


async def read_history(
    redis: Any, keys: Keys, *, since_ms: int = 0, limit: int = HISTORY_POINTS
) -> list[HistoryPoint]:
    """Points from `since_ms` on, the oldest first, at most `limit`. Raises redis-py's errors."""
    rows = await redis.xrange(keys.key("history"), min=str(since_ms), count=limit)
    known = HistoryPoint.__slots__
    return [
        HistoryPoint(
            at_ms=int(row_id.partition(b"-")[0]),
            **{text: int(raw[name]) for name in raw if (text := name.decode()) in known},
        )
        for row_id, raw in rows
    ]


def pages_per_s(points: Sequence[HistoryPoint]) -> list[float]:
    """Pages a second between neighbouring points: one value less than there are points.

    A queue that was emptied meanwhile counts as standing still.
    """
    return [
        max(0, after.pages - before.pages) * 1000 / max(1, after.at_ms - before.at_ms)
        for before, after in pairwise(points)
    ]
