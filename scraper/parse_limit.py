"""Ends a callback that takes too long, while Python code runs in it."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, GeneratorType
from typing import Any

# Code that catches the first one gets another: `except Exception` must not keep a worker for ever.
AGAIN_S = 1.0


class ParseLimitError(Exception):
    """The callback took longer than it may."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the page's callback took longer than {limit_s:g} s")


@contextmanager
def parse_limit(limit_s: float) -> Iterator[None]:
    """Raise ParseLimitError in the block when it takes longer than `limit_s`.

    Only in the main thread, and not within a single call into C: such a call ends first. A worker
    that is held longer than the stall time-out is ended from outside.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    is_armed = True

    def over(number: int, frame: FrameType | None) -> None:
        if is_armed:
            raise ParseLimitError(limit_s)

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limited(callback: Callable[..., Any], limit_s: float) -> Callable[..., Any]:
    """The callback with a limit on its time; what a generator yields is taken within it, too.

    Asynchronous callbacks are passed on as they are.
    """

    @functools.wraps(callback)
    def run(*args: Any, **kwargs: Any) -> Any:
        with parse_limit(limit_s):
            output = callback(*args, **kwargs)
            return list(output) if isinstance(output, GeneratorType) else output

    # Requests that a callback makes from its own are told apart by this.
    run.__self__ = getattr(callback, "__self__", None)  # type: ignore[attr-defined]
    return run
