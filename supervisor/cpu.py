"""How much of the CPU that is allowed is used, by us or by all on the machine."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from supervisor.cgroup import cpu_cores


class CpuMeter:
    """Shares, 0 to 1, since the reading before; the first one is 0."""

    def __init__(self) -> None:
        psutil.cpu_percent(None)
        self._read_s = time.monotonic()
        self._used_s: dict[int, float] = {}

    def share(self, pids: Iterable[int]) -> float:
        """The larger of what these processes use of our cores, and of how busy the machine is."""
        now_s = time.monotonic()
        used_s = {pid: _cpu_s(pid) for pid in pids}
        spent_s = sum(max(0.0, used - self._used_s.get(pid, used)) for pid, used in used_s.items())
        passed_s = max(now_s - self._read_s, 1e-3)
        self._read_s, self._used_s = now_s, used_s
        own = spent_s / passed_s / cpu_cores()
        return min(1.0, max(own, psutil.cpu_percent(None) / 100))


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
