"""A supervisor with its workers as an init system runs it: started, killed, started again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping

import psutil

from tests.support.processes import Process, start, wait_until

ORPHANS_END_WITHIN_S = 2.0


class Fleet:
    """`python -m supervisor run`; `respawn` when it was killed."""

    def __init__(self, env: Mapping[str, str], workers: int) -> None:
        # They are killed more often here than any fleet should stand.
        self._env = {"RESTART_LIMIT": "100000", "BREAKER_DEATHS": "1000", **env}
        self._workers = workers
        self._all_workers: set[psutil.Process] = set()
        self.process = self._start()
        self.worker_kills = 0
        self.supervisor_kills = 0

    def _start(self) -> Process:
        return start("supervisor", "run", "--workers", str(self._workers), env=self._env)

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers that live now."""
        found = workers_of(self.process.pid)
        self._all_workers.update(found)
        return found

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill_worker(self, rng: random.Random) -> None:
        """Kill -9 of a random worker, as soon as there is one."""
        wait_until(lambda: self.workers, 60, "a worker lives")
        victim = rng.choice(self.workers)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
            self.worker_kills += 1

    def kill_supervisor(self) -> float:
        """Kill -9 of the supervisor alone; how long its last worker outlived it, in seconds."""
        orphans = self.workers
        self.process.kill()
        killed_s = time.monotonic()
        self.process.wait(10)
        self.supervisor_kills += 1
        wait_until(
            lambda: not any(map(_lives, orphans)), ORPHANS_END_WITHIN_S, f"orphans end: {orphans}"
        )
        return time.monotonic() - killed_s

    def respawn(self) -> None:
        """What an init system does."""
        assert not self.is_alive
        self.process = self._start()

    def terminate(self) -> int:
        """SIGTERM and the exit code; nothing is left after it."""
        _ = self.workers
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        assert not any(map(_lives, self._all_workers))
        return code

    def close(self) -> None:
        """End everything by force."""
        _ = self.workers
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for worker in self._all_workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()


@contextlib.contextmanager
def fleet(env: Mapping[str, str], workers: int = 2) -> Iterator[Fleet]:
    """A running supervisor while the block runs."""
    running = Fleet(env, workers)
    try:
        yield running
    finally:
        running.close()


def workers_of(supervisor_pid: int) -> list[psutil.Process]:
    """The workers of a supervisor that live now."""
    try:
        children = psutil.Process(supervisor_pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _is_worker(child)]


def instance_of(worker: psutil.Process) -> str:
    """The name under which a worker leases; "" when it has just ended."""
    try:
        return worker.environ().get("WORKER_ID", "")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()[-2:] == ["scrapy", "work"]
    return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
