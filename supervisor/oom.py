"""Whether the kernel killed a process for want of memory: it counts these kills."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from supervisor.cgroup import group_folders, read_text

# A worker's death is noticed this much later than the kernel counted it, at the most.
NOTICED_WITHIN_S = 3.0


class OomKills:
    """The counters of this process's control groups (v2, v1) and of the machine."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """`root` is for tests."""
        self._root = root
        self._clock = clock
        self._counted = self._count()
        self._rose_s: float | None = None

    def look(self) -> None:
        """Note a kill that was counted since the last look."""
        counted = self._count()
        if counted is not None and self._counted is not None and counted > self._counted:
            self._rose_s = self._clock()
        self._counted = counted

    @property
    def was_just_now(self) -> bool | None:
        """Whether one was counted in the last seconds; None when the system does not tell."""
        self.look()
        if self._counted is None:
            return None
        return self._rose_s is not None and self._clock() - self._rose_s <= NOTICED_WITHIN_S

    def _count(self) -> int | None:
        counts = [
            count
            for folder in group_folders(self._root, "memory")
            for name in ("memory.events", "memory.oom_control")
            if (count := _oom_kill(folder / name)) is not None
        ]
        machine = _oom_kill(self._root / "proc/vmstat")
        if machine is not None:
            counts.append(machine)
        return sum(counts) if counts else None


def _oom_kill(path: Path) -> int | None:
    """The line `oom_kill <number>` of a file."""
    for line in read_text(path).splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.strip().isdigit():
            return int(number)
    return None
