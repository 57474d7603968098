"""The only owner of operating system calls on workers: spawn, signal, wait for the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from scraper.board import BOARD_FD, Board, NewBoard
from supervisor import forks, lifeline
from supervisor.exits import WorkerExit

PROJECT_DIR = Path(__file__).resolve().parents[1]
# `python -m scrapy work`, tied to this process before Scrapy is loaded.
WORKER_COMMAND = (sys.executable, "-P", lifeline.__file__, "scrapy", "work")

# They would lead a worker to another Scrapy project than ours.
# A child is given what it needs of ours by name; the operator's token is none of a worker's.
_FOREIGN = (
    "SCRAPY_SETTINGS_MODULE", "SCRAPY_PROJECT", "LIFELINE_FD", BOARD_FD, "WORKER_ID",
    "WORKER_POOLS", "API_TOKEN",
)  # fmt: skip
# More pages than the worker has in flight: their callbacks may go on when their fetch is over.
BOARD_PLACES = 256


def inherited_environment() -> dict[str, str]:
    """What a child gets of this process's environment."""
    kept = {name: text for name, text in os.environ.items() if name not in _FOREIGN}
    # Scrapy looks for a file of the user's, and fails without a home; in a container a user may be
    # no more than a number.
    if os.path.expanduser("~") == "~":
        kept["HOME"] = "/nonexistent"
    return kept


class Lifeline:
    """A pipe whose write end lives exactly as long as this process: workers end at its EOF.

    Nothing is ever written. Workers inherit the read end only.
    """

    def __init__(self) -> None:
        self.read_end, self._write_end = (forks.own(end) for end in os.pipe())
        self._is_open = True

    def close(self) -> None:
        """Let go of both ends: workers that still live end now."""
        if self._is_open:
            self._is_open = False
            forks.disown_and_close(self.read_end)
            forks.disown_and_close(self._write_end)


class WorkerProcess:
    """A running worker and its board. Its exit is reported once, by `wait`."""

    def __init__(self, process: asyncio.subprocess.Process, board: Board) -> None:
        self._process = process
        self.board = board
        self._signalled = False

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> WorkerExit:
        """How it ended; it is reaped then."""
        return WorkerExit(await self._process.wait(), is_ordered=self._signalled)

    def drain(self) -> None:
        """Ask it to finish the pages in flight and end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._send(signal.SIGKILL)

    def dump_stacks(self) -> None:
        """Have it write the stacks of all its threads to its log, and go on."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)

    def _send(self, number: signal.Signals) -> None:
        self._signalled = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class WorkerLauncher:
    """Starts workers that die with this process, each in a session of its own."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        command: tuple[str, ...] | None = None,
        log_path: Path | None = None,
    ) -> None:
        """`environment` comes on top of this process's. `command` None: `scrapy work`.

        `log_path`: where the workers' output is appended, None: to our standard error. Never to a
        pipe of ours, which could fill up.
        """
        self._environment = dict(environment)
        self._command = command or WORKER_COMMAND
        self._log_path = log_path
        self._lifeline = Lifeline()

    async def spawn(self, instance: str) -> WorkerProcess:
        """Start a worker under that name. Raises OSError."""
        with self._output() as output, _new_board() as made:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=PROJECT_DIR,
                env=self._environment_of(instance, made.descriptor),
                pass_fds=(self._lifeline.read_end, made.descriptor),
                # Ctrl-C on the terminal is for the supervisor, which drains them in order.
                start_new_session=True,
            )
        return WorkerProcess(process, made.board)

    def close(self) -> None:
        """Nothing is spawned any more."""
        self._lifeline.close()

    def _environment_of(self, instance: str, board: int) -> dict[str, str]:
        own = {
            "WORKER_ID": instance,
            "LIFELINE_FD": str(self._lifeline.read_end),
            BOARD_FD: str(board),
        }
        return inherited_environment() | self._environment | own

    @contextlib.contextmanager
    def _output(self) -> Iterator[int]:
        if self._log_path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            log = os.open(self._log_path, flags, 0o600)
            try:
                yield log
            finally:
                os.close(log)
        else:
            yield _STDERR if _is_open(_STDERR) else subprocess.DEVNULL


@contextlib.contextmanager
def _new_board() -> Iterator[NewBoard]:
    made = NewBoard(BOARD_PLACES)
    try:
        yield made
    finally:
        made.given()


# The descriptor, not sys.stderr: a program may have put anything there.
_STDERR = 2


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
