"""How a worker process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EXIT_CONFIGURATION = 2
EXIT_REDIS_AWAY = 3

_CODES = {
    0: "ended by itself",
    EXIT_CONFIGURATION: "refused to start: its configuration is wrong (its log says what)",
    EXIT_REDIS_AWAY: "could not reach Redis",
}


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """The end of one process.

    `code` is its exit code, the negative number of the signal that killed it, or None when it
    could not even be started (`problem` says why). `is_ordered`: the supervisor asked for it, or
    killed it (`problem` says why, where it did so by its own judgement).
    """

    code: int | None
    is_ordered: bool = False
    problem: str = ""

    @property
    def is_configuration_error(self) -> bool:
        return self.code == EXIT_CONFIGURATION

    @property
    def is_redis_away(self) -> bool:
        return self.code == EXIT_REDIS_AWAY

    def __str__(self) -> str:
        if self.code is None:
            return f"could not be started: {self.problem}"
        if self.is_ordered and self.problem:
            return f"killed: it {self.problem}"
        if self.code >= 0:
            return _CODES.get(self.code, f"failed with exit code {self.code}")
        # The kernel's out-of-memory killer leaves no other trace in the exit status.
        is_strange = -self.code == signal.SIGKILL and not self.is_ordered
        return f"killed by {_signal_name(-self.code)}{' (out of memory?)' if is_strange else ''}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
