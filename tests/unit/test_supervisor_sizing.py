"""What a control group allows, read from made-up file systems; worker counts from that."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from supervisor import cgroup, memory
from supervisor.sizing import auto_worker_count

MIB = 2**20
MACHINE = psutil.virtual_memory().total


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert cgroup.memory_limit_bytes(tmp_path) == MACHINE
    assert cgroup.cpu_cores(tmp_path) >= 1


def test_v2_takes_the_lowest_limit_on_the_way_up(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory",
            "sys/fs/cgroup/outer/memory.max": f"{64 * MIB}\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
            "sys/fs/cgroup/outer/cpu.max": "max 100000\n",
            "sys/fs/cgroup/outer/inner/cpu.max": "50000 100000\n",
        },
    )
    assert cgroup.memory_limit_bytes(root) == 64 * MIB
    assert cgroup.cpu_cores(root) == 0.5


def test_v2_in_a_container_reads_the_mounted_root(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cgroup.controllers": "memory",
            "sys/fs/cgroup/memory.max": f"{100 * MIB}\n",
        },
    )
    assert cgroup.memory_limit_bytes(root) == 100 * MIB


def test_v1_reads_its_controllers_and_knows_no_limit(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{200 * MIB}\n",
            "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cgroup.memory_limit_bytes(root) == 200 * MIB
    assert cgroup.cpu_cores(root) == cgroup.cpu_cores(tmp_path / "nowhere")


def test_v1_in_a_container_whose_path_is_the_hosts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/of-the-host\n2:cpu:/docker/of-the-host\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{300 * MIB}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cgroup.memory_limit_bytes(root) == 300 * MIB
    assert cgroup.cpu_cores(root) == 0.25


@pytest.mark.parametrize(
    ("cores", "memory_mib", "count"),
    [(1, 4096, 1), (2, 4096, 1), (8, 4096, 4), (64, 65536, 8), (64, 1200, 2), (0.25, 100, 1)],
)
def test_auto_counts_cores_and_memory(cores: float, memory_mib: int, count: int) -> None:
    assert auto_worker_count(cores, memory_mib * MIB) == count


def test_memory_in_use_is_real_and_measured_against_what_is_allowed() -> None:
    own = memory.process_bytes()
    assert 5 * MIB < own < MACHINE
    usage = memory.read_usage([("here/worker-1", psutil.Process().pid)], 2**40)
    assert usage.workers["here/worker-1"] > 5 * MIB
    assert usage.used > usage.workers["here/worker-1"]
    assert usage.total == cgroup.memory_limit_bytes()
    small = memory.read_usage([], 64 * MIB)
    assert small.total == small.used + 64 * MIB


def test_a_process_that_is_gone_uses_no_memory() -> None:
    assert memory.process_bytes(2**22 + 1) == 0
