"""Pure verdicts on how many workers there should be: by waiting work, CPU and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

# After a step down that had to be taken back, the next one waits longer, at most this much.
MOST_CAUTION = 16
# So many waiting pages a worker are much.
DEEP_PAGES = 4


@dataclass(frozen=True, slots=True)
class ScaleLimits:
    """Bounds and habits. Shares are 0 to 1; times in s.

    Up: after `up_readings` in a row with work that nobody takes, and `up_pause_s` after the last
    change. Down: when for `down_after_s` one worker less would be used to `down_use` at the most.
    """

    lowest: int = 1
    highest: int = 8
    up_readings: int = 2
    up_pause_s: float = 10.0
    down_after_s: float = 60.0
    down_use: float = 0.6
    cpu_full: float = 0.85
    memory_full: float = 0.85


@dataclass(frozen=True, slots=True)
class LoadReading:
    """The load at one moment. `workers` are wanted; `is_settled`: all of them run, none drains.

    `ready_pages`: pages that a free worker could take now. `use`: pages and jobs in hand, of what
    one worker takes at once: 2.5 is the work of two workers and a half. `cpu_share`: the workers'
    of the allowed CPU; `memory_share`: the workers' of the container's or machine's memory, and
    `own_memory_share` the supervisor's own, which no worker adds to.
    """

    at_s: float
    workers: int
    ready_pages: int
    use: float
    cpu_share: float = 0.0
    memory_share: float = 0.0
    own_memory_share: float = 0.0
    is_settled: bool = True


class ScalePolicy:
    """Looks at one reading after another; steps up may double, steps down are of one worker."""

    def __init__(self, limits: ScaleLimits | None = None) -> None:
        self.limits = limits or ScaleLimits()
        self._busy_readings = 0
        self._calm_since_s: float | None = None
        self._changed_s = -math.inf
        self._went_down_s = -math.inf
        self._caution = 1

    def look(self, reading: LoadReading) -> int:
        """How many workers to have from now on."""
        limits = self.limits
        if reading.workers < limits.lowest:
            return self._changed(reading, limits.lowest)
        self._note(reading)
        if not reading.is_settled:
            return reading.workers
        if reading.workers > limits.highest:
            return self._changed(reading, reading.workers - 1)
        if self._busy_readings >= limits.up_readings and self._may_step(reading):
            return self._changed(reading, self._more(reading))
        if self._is_calm_enough(reading):
            return self._changed(reading, max(limits.lowest, reading.workers - 1))
        return reading.workers

    # -- inside ---------------------------------------------------------------------------

    def _note(self, reading: LoadReading) -> None:
        self._busy_readings = self._busy_readings + 1 if reading.ready_pages else 0
        use_by_one_less = reading.use / max(1, reading.workers - 1)
        if reading.ready_pages or use_by_one_less > self.limits.down_use:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = reading.at_s

    def _may_step(self, reading: LoadReading) -> bool:
        return reading.at_s - self._changed_s >= self.limits.up_pause_s

    def _more(self, reading: LoadReading) -> int:
        """One more, or twice as many where much work waits; as CPU and memory allow, by what the
        workers take of them on the average."""
        now = reading.workers
        is_deep = reading.ready_pages > DEEP_PAGES * now
        wanted = 2 * now if is_deep else now + 1
        for share, full in (
            (reading.cpu_share, self.limits.cpu_full),
            (reading.memory_share, self.limits.memory_full - reading.own_memory_share),
        ):
            if share > 0:
                wanted = min(wanted, int(now * full / share))
        return min(max(now, wanted), self.limits.highest)

    def _is_calm_enough(self, reading: LoadReading) -> bool:
        if reading.workers <= self.limits.lowest or self._calm_since_s is None:
            return False
        calm_s = reading.at_s - max(self._calm_since_s, self._changed_s)
        return calm_s >= self.limits.down_after_s * self._caution

    def _changed(self, reading: LoadReading, count: int) -> int:
        if count == reading.workers:
            return count
        since_down_s = reading.at_s - self._went_down_s
        quick_s = self.limits.down_after_s * self._caution
        if count > reading.workers and since_down_s < quick_s:
            self._caution = min(2 * self._caution, MOST_CAUTION)
        elif count < reading.workers:
            if since_down_s > 2 * quick_s:
                self._caution = max(1, self._caution // 2)
            self._went_down_s = reading.at_s
        self._changed_s, self._busy_readings, self._calm_since_s = reading.at_s, 0, None
        return count
