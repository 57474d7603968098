"""What is measured of pages and jobs, as the queue keeps it: counts by bucket."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scraper.jobs.keys import Keys

# Upper bounds in s; above the last one is one more bucket.
PAGE_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# The same numbers stand in lua/shared/jobs.lua.
JOB_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0)

# Name -> bounds. The field of a bucket is `<name>|<number from 0>`, that of the sum `<name>|ms`.
HISTOGRAMS: Final[Mapping[str, tuple[float, ...]]] = {
    "fetch": PAGE_BOUNDS,
    "page": PAGE_BOUNDS,
    "wait": PAGE_BOUNDS,
    "job": JOB_BOUNDS,
}


@dataclass(slots=True)
class Histogram:
    """Durations of one kind. `counts`: by bucket, not added up; `sum_s` of all."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.counts:
            self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count one; a fraction of a microsecond."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_s += seconds


class Measures:
    """What one process has measured since it last told the queue."""

    def __init__(self) -> None:
        self._outcomes: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        self.fetch = Histogram(PAGE_BOUNDS)
        self.page = Histogram(PAGE_BOUNDS)
        self.wait = Histogram(PAGE_BOUNDS)
        self._outcomes.clear()

    def ended(self, outcome: str) -> None:
        """Count a page that ended so."""
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def take(self) -> dict[str, int]:
        """Field -> what to add to it; counting begins anew."""
        found = {f"pages|{outcome}": times for outcome, times in self._outcomes.items()}
        for name in ("fetch", "page", "wait"):
            histogram: Histogram = getattr(self, name)
            buckets = enumerate(histogram.counts)
            found |= {f"{name}|{number}": times for number, times in buckets if times}
            if histogram.sum_s:
                found[f"{name}|ms"] = round(histogram.sum_s * 1000)
        self._begin()
        return found


@dataclass(frozen=True, slots=True)
class Measured:
    """What the queue has counted since it began."""

    histograms: Mapping[str, Histogram]
    pages: Mapping[str, int]


async def add_measures(redis: Any, keys: Keys, counts: Mapping[str, int]) -> None:
    """Add to what the queue has counted. Not to be repeated. Raises redis-py's errors."""
    async with redis.pipeline(transaction=True) as pipe:
        for name, times in counts.items():
            pipe.hincrby(keys.key("measures"), name, times)
        await pipe.execute()


async def read_measures(redis: Any, keys: Keys) -> Measured:
    """All of it. Raises redis-py's errors."""
    raw = await redis.hgetall(keys.key("measures"))
    counts = {name.decode(): int(value) for name, value in raw.items()}
    histograms = {
        name: Histogram(
            bounds,
            [counts.get(f"{name}|{number}", 0) for number in range(len(bounds) + 1)],
            counts.get(f"{name}|ms", 0) / 1000,
        )
        for name, bounds in HISTOGRAMS.items()
    }
    pages = {
        name.partition("|")[2]: times for name, times in counts.items() if name[:6] == "pages|"
    }
    return Measured(histograms, pages)
