"""Pure verdicts on memory: who gives some back, who is replaced, who is killed, who leaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MIB = 2**20
# Relief levels of a worker: collect and give back; besides that half of its pages at once; a
# quarter of them.
COLLECT, HALF, QUARTER = 1, 2, 3


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Shares are of the allowed memory, or of a worker's own limit; 0 to 1 and above.

    A worker is near its baseline (the least that it had since it was ready) below
    `near_factor` times it and below `near_bytes` more: nothing is gained by striking it.
    `patience`: readings that a step is given before the next one. 0 pages or seconds: no bound.
    """

    threshold: float = 0.85
    critical: float = 0.9
    calm_below: float = 0.05
    worker_limit_bytes: int = 1024 * MIB
    worker_relief: float = 0.85
    worker_far: float = 1.25
    worker_kill: float = 1.5
    near_factor: float = 1.5
    near_bytes: int = 64 * MIB
    patience: int = 2
    leak_readings: int = 10
    leak_rise: float = 0.05
    recycle_after_pages: int = 0
    recycle_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """One worker at one moment. `instance` changes with each process of a slot."""

    worker_id: str
    instance: str
    used_bytes: int
    pages_done: int = 0
    age_s: float = 0.0
    is_running: bool = True


@dataclass(frozen=True, slots=True)
class MemoryIsHigh:
    """The threshold was passed just now, or the critical share was."""

    share: float
    is_critical: bool = False


@dataclass(frozen=True, slots=True)
class Relieve:
    """Have a worker give back memory: its level from now on, 0 for none."""

    worker_id: str
    level: int


@dataclass(frozen=True, slots=True)
class Recycle:
    """Replace a worker after a drain. `is_urgent`: memory is too short for two at once."""

    worker_id: str
    reason: str
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class SuspectLeak:
    """A worker's memory rises without end. Bytes, the oldest first."""

    worker_id: str
    readings: tuple[int, ...]


Verdict = MemoryIsHigh | Relieve | Recycle | SuspectLeak


@dataclass(slots=True)
class _Known:
    """What is remembered of one process."""

    instance: str
    baseline_bytes: int
    readings: deque[int] = field(default_factory=deque)
    level: int = 0
    over_limit: int = 0


class MemoryPolicy:
    """Looks at one reading after another. At most one worker is being recycled at a time."""

    def __init__(self, limits: MemoryLimits | None = None) -> None:
        self.limits = limits or MemoryLimits()
        self._known: dict[str, _Known] = {}
        self._is_high = False
        self._is_critical = False
        self._steps = 0
        self._high_readings = 0

    def look(
        self, share: float, workers: Sequence[WorkerReading], *, may_recycle: bool = True
    ) -> list[Verdict]:
        """What follows from a reading. `share`: used of the allowed memory, 0 to 1 and above.

        `may_recycle` False: a worker is missing already, so that none is taken away.
        """
        running = [worker for worker in workers if worker.is_running]
        self._remember(running)
        verdicts: list[Verdict] = list(self._pressure(share))
        recycled = self._recycled(share, running) if may_recycle else None
        if recycled is not None:
            verdicts.append(recycled)
            self._high_readings = 0
        for worker in running:
            known = self._known[worker.worker_id]
            level = self._level(worker)
            if level != known.level:
                known.level = level
                verdicts.append(Relieve(worker.worker_id, level))
            verdicts += self._leak(worker.worker_id, known)
        return verdicts

    def is_to_kill(self, worker: WorkerReading) -> bool:
        """It is far beyond its limit: neither relief nor a drain comes in time.

        To be asked often: the baseline comes from here, too.
        """
        known = self._known_of(worker)
        known.baseline_bytes = min(known.baseline_bytes, worker.used_bytes)
        beyond = self.limits.worker_kill * self.limits.worker_limit_bytes
        return worker.used_bytes >= beyond and not self._is_near_baseline(worker)

    # -- inside ---------------------------------------------------------------------------

    def _remember(self, running: Iterable[WorkerReading]) -> None:
        known = {}
        for worker in running:
            old = self._known_of(worker)
            old.baseline_bytes = min(old.baseline_bytes, worker.used_bytes)
            old.readings.append(worker.used_bytes)
            if len(old.readings) > self.limits.leak_readings:
                old.readings.popleft()
            is_over = worker.used_bytes >= self.limits.worker_limit_bytes
            old.over_limit = old.over_limit + 1 if is_over else 0
            known[worker.worker_id] = old
        self._known = known

    def _known_of(self, worker: WorkerReading) -> _Known:
        known = self._known.get(worker.worker_id)
        if known is None or known.instance != worker.instance:
            known = self._known[worker.worker_id] = _Known(worker.instance, worker.used_bytes)
        return known

    def _pressure(self, share: float) -> Iterable[Verdict]:
        """Count the steps while the threshold is passed; a little below it they are kept."""
        limits = self.limits
        was_high, was_critical = self._is_high, self._is_critical
        self._is_high = share >= limits.threshold
        self._is_critical = self._is_high and share >= limits.critical
        if self._is_high:
            if not was_high or (self._is_critical and not was_critical):
                yield MemoryIsHigh(share, self._is_critical)
            self._high_readings += 1
            if self._high_readings > self._steps * limits.patience:
                self._steps += 1
            if self._is_critical:
                self._steps = max(self._steps, HALF)
        else:
            self._high_readings = 0
            if share < limits.threshold * (1 - limits.calm_below):
                self._steps = 0

    def _level(self, worker: WorkerReading) -> int:
        if self._is_near_baseline(worker):
            return 0
        own = worker.used_bytes / self.limits.worker_limit_bytes
        by_limit = HALF if own >= 1 else COLLECT if own >= self.limits.worker_relief else 0
        return max(by_limit, min(self._steps, QUARTER))

    def _recycled(self, share: float, running: Sequence[WorkerReading]) -> Recycle | None:
        limits = self.limits
        fat = [worker for worker in running if not self._is_near_baseline(worker)]
        fat.sort(key=lambda worker: worker.used_bytes, reverse=True)
        for worker in fat:
            known = self._known[worker.worker_id]
            is_far = worker.used_bytes >= limits.worker_far * limits.worker_limit_bytes
            if is_far or known.over_limit > limits.patience:
                used = f"uses {worker.used_bytes // MIB} MiB"
                reason = f"{used} of {limits.worker_limit_bytes // MIB} MiB that it may"
                return Recycle(worker.worker_id, reason, is_urgent=is_far)
        steps = HALF if self._is_critical else QUARTER
        # Relief had its time, at a critical share less of it.
        if fat and self._is_high and self._high_readings > steps * limits.patience:
            reason = f"memory is at {share:.0%} of what is allowed, this worker uses most"
            return Recycle(fat[0].worker_id, reason, is_urgent=self._is_critical)
        return self._worn_out(running)

    def _worn_out(self, running: Sequence[WorkerReading]) -> Recycle | None:
        limits = self.limits
        for worker in sorted(running, key=lambda worker: worker.age_s, reverse=True):
            if 0 < limits.recycle_after_pages <= worker.pages_done:
                return Recycle(worker.worker_id, f"did {worker.pages_done} pages")
            if 0 < limits.recycle_after_s <= worker.age_s:
                return Recycle(worker.worker_id, f"ran for {worker.age_s:.0f} s")
        return None

    def _leak(self, worker_id: str, known: _Known) -> Iterable[Verdict]:
        readings = known.readings
        if len(readings) < self.limits.leak_readings:
            return
        rise = 1 + self.limits.leak_rise
        if all(after > before * rise for before, after in pairwise(readings)):
            yield SuspectLeak(worker_id, tuple(readings))
            readings.clear()

    def _is_near_baseline(self, worker: WorkerReading) -> bool:
        limits, base = self.limits, self._known_of(worker).baseline_bytes
        return worker.used_bytes < max(limits.near_factor * base, base + limits.near_bytes)
