"""Ends a callback that takes too long, while Python code runs in it."""

from __future__ import annotations

import functools
import signal
import threading
import time
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

    The handler is set once, and the timer runs on from callback to callback: to set and to stop it
    for each page costs two calls into the system. So it goes off now and then when no callback is
    over its time; then it is set for what is left, or stopped when there is none.
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
        self._is_ticking = False
        self._due_s = 0.0
        self._main_thread = threading.main_thread().ident
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
            if threading.get_ident() != self._main_thread:
                return callback(*args, **kwargs)
            self._on_begin()
            self._arm()
            try:
                output = callback(*args, **kwargs)
                return list(output) if isinstance(output, GeneratorType) else output
            finally:
                try:
                    self._is_armed = False
                finally:  # the alarm may go off on the line above
                    self._is_armed = False
                    self._on_end()

        # Requests that a callback makes from its own are told apart by this.
        run.__self__ = getattr(callback, "__self__", None)  # type: ignore[attr-defined]
        return run

    def _arm(self) -> None:
        # In this order: the alarm may go off between any two of these lines.
        self._due_s = time.monotonic() + self._limit_s
        self._is_armed = True
        if not self._is_ticking:
            self._is_ticking = True
            signal.setitimer(signal.ITIMER_REAL, self._limit_s, AGAIN_S)

    def _over(self, number: int, frame: FrameType | None) -> None:
        if not self._is_armed:
            self._is_ticking = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        left_s = self._due_s - time.monotonic()
        if left_s > 0:
            signal.setitimer(signal.ITIMER_REAL, left_s, AGAIN_S)
            return
        raise ParseLimitError(self._limit_s)
