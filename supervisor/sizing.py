"""How many workers fit on this machine."""

from __future__ import annotations

from supervisor.cgroup import cpu_cores, memory_limit_bytes

MEMORY_PER_WORKER_BYTES = 512 * 2**20
MOST_WORKERS = 8


def most_workers() -> int:
    """The upper bound of `scale auto`: one a core, as memory allows, at least the start value."""
    by_memory = memory_limit_bytes() // MEMORY_PER_WORKER_BYTES
    return max(auto_worker_count(), min(int(cpu_cores()), by_memory))


def auto_worker_count(cores: float | None = None, memory_bytes: int | None = None) -> int:
    """min(cores / 2, memory / 512 MiB, 8), at least 1; by default by this group's limits."""
    cores = cpu_cores() if cores is None else cores
    memory_bytes = memory_limit_bytes() if memory_bytes is None else memory_bytes
    return max(1, min(int(cores / 2), memory_bytes // MEMORY_PER_WORKER_BYTES, MOST_WORKERS))
