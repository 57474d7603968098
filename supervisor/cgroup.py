"""What this process may use by the limits of its control group (v2 and v1) or its machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

# v1 says "no limit" with a number close to 2^63.
_V1_UNLIMITED = 1 << 60


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """The lowest memory limit of this process's groups, at most the machine's memory.

    psutil alone reports the machine's memory inside of any container. `root` is for tests.
    """
    limits = [psutil.virtual_memory().total]
    for folder in group_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if limit is not None and 0 < limit < _V1_UNLIMITED:
                limits.append(limit)
    return min(limits)


def cpu_cores(root: Path = Path("/")) -> float:
    """Cores that this process may use at once; a quota may make it a fraction."""
    cores = [float(_allowed_cpus())]
    for folder in group_folders(root, "cpu"):
        quota, period = _quota(folder)
        if quota and period:
            cores.append(quota / period)
    return min(cores)


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: Path) -> tuple[int | None, int | None]:
    words = read_text(folder / "cpu.max").split()
    if len(words) == 2:
        return (int(words[0]), int(words[1])) if words[0].isdigit() else (None, None)
    quota = _number(folder / "cpu.cfs_quota_us")
    if quota is None or quota <= 0:
        return None, None
    return quota, _number(folder / "cpu.cfs_period_us")


def group_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those around it.

    In a container the path in /proc may be the host's, which is not to be seen there: the limit
    is then in the root of the mounted hierarchy, which is always among the folders.
    """
    for line in read_text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base = root / "sys/fs/cgroup"
            if not (base / "cgroup.controllers").exists():
                base = base / "unified"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        group = base / path.strip("/")
        while group != base and base in group.parents:
            yield group
            group = group.parent
        yield base


def read_text(path: Path) -> str:
    """A small text file; "" where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = read_text(path).strip()
    try:
        return int(text)
    except ValueError:
        return None
