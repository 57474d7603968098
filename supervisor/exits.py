"""How a worker process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EXIT_CONFIGURATION = 2
EXIT_REDIS_AWAY = 3

_CODES = {
    0: "ended by itself",
    EXIT_CONFIGURATION: "refused to start: its configuration is wrong (its log says what)",
    EXIT_REDIS_AWAY: "could not reach Redis, or write to it",
}
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS}
)


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """The end of one process.

    `code` is its exit code, the negative number of the signal that killed it, or None when it
    could not even be started (`problem` says why). `is_ordered`: the supervisor sent it a signal.
    `cause`: why the supervisor killed it, as the end of a sentence ("uses too much"), or what the
    worker said last; "" unknown.
    `is_out_of_memory`: the kernel killed it for want of memory; None: the system does not tell.
    """

    code: int | None
    is_ordered: bool = False
    problem: str = ""
    cause: str = ""
    is_out_of_memory: bool | None = None

    @property
    def is_configuration_error(self) -> bool:
        return self.code == EXIT_CONFIGURATION

    @property
    def is_redis_away(self) -> bool:
        return self.code == EXIT_REDIS_AWAY

    @property
    def is_strange_kill(self) -> bool:
        """SIGKILL, and not from the supervisor: the kernel for want of memory, or somebody else."""
        return self.code == -signal.SIGKILL and not self.is_ordered

    @property
    def is_crash(self) -> bool:
        """Native code broke the process."""
        return self.code is not None and -self.code in _CRASHES

    def __str__(self) -> str:
        if self.code is None:
            return f"could not be started: {self.problem}"
        if self.is_ordered and self.cause:
            return f"killed: it {self.cause}"
        if self.code >= 0:
            text = _CODES.get(self.code, f"failed with exit code {self.code}")
        else:
            text = f"killed by {_signal_name(-self.code)}{self._who()}"
        return f"{text}: {self.cause}" if self.cause else text

    def _who(self) -> str:
        if self.is_crash:
            return " (native code crashed)"
        if not self.is_strange_kill:
            return ""
        if self.is_out_of_memory is None:
            # The kernel's out-of-memory killer leaves no other trace in the exit status.
            return " (out of memory?)"
        return " (out of memory)" if self.is_out_of_memory else " (by somebody else)"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
