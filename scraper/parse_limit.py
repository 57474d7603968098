"""Ends a callback that takes too long, while Python code runs in it."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType, GeneratorType
from typing import Any

# Code that catches the first one gets another: `except Exception` must not keep a worker for ever.
AGAIN_S = 1.0


class ParseLimitError(Exception):
    """The callback took longer than it may."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the page's callback took longer than {limit_s:g} s")


class ParseLimit:
    """Limits callbacks to `limit_s` each; one for a process, for it takes SIGALRM.

    The handler is set once: to set and to restore it for each page costs more than the timer.
    """

    def __init__(
        self,
        limit_s: float,
        on_begin: Callable[[], object] = bool,
        on_end: Callable[[], object] = bool,
    ) -> None:
        """`on_begin` and `on_end` are called right before and after each callback; of asynchronous
        ones, only the call itself is between them."""
        self._limit_s = limit_s
        self._on_begin = on_begin
        self._on_end = on_end
        self._is_armed = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._over)

    def limited(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """The callback, raising ParseLimitError when it takes too long.

        What a generator yields is taken within the limit, too; asynchronous callbacks are passed on
        as they are. Only in the main thread, and not within a single call into C: such a call ends
        first. A worker that is held longer than the stall time-out is ended from outside.
        """

        @functools.wraps(callback)
        def run(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return callback(*args, **kwargs)
            self._on_begin()
            self._arm()
            try:
                output = callback(*args, **kwargs)
                return list(output) if isinstance(output, GeneratorType) else output
            finally:
                self._disarm()
                self._on_end()

        # Requests that a callback makes from its own are told apart by this.
        run.__self__ = getattr(callback, "__self__", None)  # type: ignore[attr-defined]
        return run

    def _arm(self) -> None:
        self._is_armed = True
        signal.setitimer(signal.ITIMER_REAL, self._limit_s, AGAIN_S)

    def _disarm(self) -> None:
        try:
            self._is_armed = False
        finally:  # the alarm may go off on the line above
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _over(self, number: int, frame: FrameType | None) -> None:
        if self._is_armed:
            raise ParseLimitError(self._limit_s)
