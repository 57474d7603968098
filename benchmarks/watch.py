"""Follows one run of a contender: waits for it, gauges the machine, reads Redis."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from benchmarks.calibration import SpeedGauge
from benchmarks.command_monitor import ClientCommands
from benchmarks.errors import BenchmarkError, ContenderFailedError
from benchmarks.redis_server import RedisFigures, RedisServer

REPOSITORY = Path(__file__).resolve().parent.parent
_PAUSE_S = 0.08
_LOG_TAIL_BYTES = 3_000


class Watch:
    """What a contender's `run` waits with; the figures of its run are read from it afterwards.

    Counting (Redis, machine speed) starts at `begin` and stops at `end`, so that a contender can
    leave its preparation out, such as filling the queue.
    """

    def __init__(
        self,
        contender: str,
        log_file: Path,
        redis_server: RedisServer | None,
        monitor: ClientCommands | None,
        deadline_s: float,
    ) -> None:
        self._contender = contender
        self._log_file = log_file
        self._redis = redis_server
        self._monitor = monitor
        self._deadline_s = deadline_s
        self._processes: list[subprocess.Popen[bytes]] = []
        self._is_counting = False
        self.gauge = SpeedGauge()
        self.redis_figures: RedisFigures | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, folder: Path = REPOSITORY
    ) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to the run's log; it is ended with the run."""
        with self._log_file.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def begin(self) -> None:
        """The work begins: count from here."""
        if self._redis is not None:
            self._redis.reset()
        if self._monitor is not None:
            self._monitor.is_counting = True
        self._is_counting = True

    def end(self) -> None:
        """The work is done. A second call changes nothing."""
        if not self._is_counting:
            return
        self._is_counting = False
        if self._monitor is not None:
            self._monitor.is_counting = False
        if self._redis is not None:
            self.redis_figures = self._redis.figures()

    def until(self, is_done: Callable[[], bool], what: str) -> None:
        """Wait until `is_done()`; fails when a process has ended badly or at the deadline."""
        until = time.monotonic() + self._deadline_s
        turn = 0
        while not is_done():
            for process in self._processes:
                if process.poll():
                    raise self._failure(f"{process.args!r} ended with {process.returncode}")
            if time.monotonic() > until:
                raise self._failure(f"no {what} within {self._deadline_s:.0f} s")
            if self._is_counting:
                self._sample(turn)
            turn += 1
            time.sleep(_PAUSE_S)

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of `process`, which must be a good one."""
        self.until(lambda: process.poll() is not None, f"end of {process.args!r}")
        if process.returncode:
            raise self._failure(f"{process.args!r} ended with {process.returncode}")

    def complete(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a process and wait for its good end."""
        self.finish(self.start(command, environment))

    def _sample(self, turn: int) -> None:
        self.gauge.sample()
        if self._redis is not None and turn % 5 == 0:
            self._redis.sample_memory()

    def _failure(self, problem: str) -> BenchmarkError:
        tail = self._log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
        return ContenderFailedError(self._contender, problem, tail)
