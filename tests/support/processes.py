"""Starts the project's commands as real processes and ends them without fail."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[bytes]
# To see that something happens at all: a start alone takes 14 s on a busy machine. Less than a
# lease, so that who waits for the end of one is caught.
PATIENCE_S = 45.0


def environment(redis_url: str | None, **more: str) -> dict[str, str]:
    """The environment of a command: none of the machine's settings of ours."""
    ours = (
        "REDIS_URL", "QUEUE_NAME", "DATA_DIR", "WORKER_", "LIFELINE_FD", "PYTEST_", "COV_",
        "API_TOKEN", "HTTP_", "SCRAPER_",
    )  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env |= {
        "LOG_LEVEL": "warning", "ALLOW_PRIVATE_HOSTS": "127.0.0.0/8", "HTTP_PORT": "0", **more,
    }  # fmt: skip
    if redis_url:
        env["REDIS_URL"] = redis_url
    return env


def start(*arguments: str, env: Mapping[str, str], cwd: Path = ROOT) -> Process:
    """`python -m <arguments>` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=cwd, env=dict(env), start_new_session=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def run(
    *arguments: str, env: Mapping[str, str], cwd: Path = ROOT, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `python -m <arguments>` to its end."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=dict(env), capture_output=True, text=True,
        timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@contextlib.contextmanager
def running(*arguments: str, env: Mapping[str, str], count: int = 1) -> Iterator[list[Process]]:
    """Processes while the block runs; killed with their groups at its end."""
    processes = [start(*arguments, env=env) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            kill_group(process)


def kill_group(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def wait_until(
    condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = ""
) -> None:
    """Wait for a condition; fails with `what` after the deadline. A test that claims a time gives
    its own."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or condition}")
        time.sleep(0.02)
