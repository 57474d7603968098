"""How much memory the supervisor and its workers use, against what they are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import psutil

from supervisor.cgroup import memory_limit_bytes
from supervisor.public import PUBLIC, to_public


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Bytes; `percent_used` is 0 to 100. `workers`: by worker id, those that run; the rest of
    `used` is this process's own."""

    __pydantic_config__: ClassVar = PUBLIC

    used: int
    total: int
    percent_used: float
    workers: dict[str, int]

    @property
    def share(self) -> float:
        """Used of total, 0 to 1."""
        return self.used / self.total

    def to_json(self) -> dict[str, Any]:
        return to_public(self)


def process_bytes(pid: int | None = None) -> int:
    """Memory of one process (None: this one): its proportional share (PSS) where the system
    tells it, else what it alone holds (USS), else RSS; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        try:
            full = process.memory_full_info()
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
        return int(getattr(full, "pss", 0) or getattr(full, "uss", 0) or full.rss)
    except psutil.NoSuchProcess:
        return 0


def resident_bytes(pid: int) -> int:
    """RSS of a process, which is cheap to read; 0 when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def read_usage(
    workers: Iterable[tuple[str, int]], allowed_to_workers_bytes: int | None = None
) -> MemoryUsage:
    """Read it now. `workers`: worker id and process id. In all is allowed what the container or
    machine has, or this process's own and `allowed_to_workers_bytes` where that is less: the
    service may live in a large program, whose memory is not its workers' fault."""
    by_worker = {worker_id: process_bytes(pid) for worker_id, pid in workers}
    own = process_bytes()
    used = own + sum(by_worker.values())
    total = memory_limit_bytes()
    if allowed_to_workers_bytes is not None:
        total = min(total, own + allowed_to_workers_bytes)
    return MemoryUsage(used, total, round(100 * used / total, 2), by_worker)
