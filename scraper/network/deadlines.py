"""Ends fetches that take too long: one timer for all of them, not one each."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import TypeVar

_T = TypeVar("_T")

# How often is looked: so much later than its deadline a fetch may end.
LOOK_EVERY_S = 0.05
# The deadline of one that was ended: there is none left.
_PASSED = math.inf


class Deadlines:
    """As `asyncio.timeout`, for thousands a second that nearly all end in time.

    A look at all that run costs a microsecond or two, 20 times a second while any does; a timer
    each costs twenty calls. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._due_s: dict[asyncio.Task[object], float] = {}
        self._looking: asyncio.TimerHandle | None = None

    async def within(self, timeout_s: float, steps: Coroutine[object, object, _T]) -> _T:
        """What `steps` return; TimeoutError when that takes longer than `timeout_s`.

        One at a time in a task.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        cancelling = task.cancelling()
        self._due_s[task] = loop.time() + timeout_s
        if self._looking is None:
            self._looking = loop.call_later(LOOK_EVERY_S, self._look)
        try:
            return await steps
        except asyncio.CancelledError as error:
            # Whoever else cancels the task means all of it.
            if self._due_s[task] == _PASSED and task.cancelling() - 1 <= cancelling:
                raise TimeoutError from error
            raise
        finally:
            if self._due_s.pop(task) == _PASSED:
                task.uncancel()

    def _look(self) -> None:
        self._looking = None
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for task in [task for task, due_s in self._due_s.items() if due_s <= now_s]:
            self._due_s[task] = _PASSED
            task.cancel()
        if self._due_s:
            self._looking = loop.call_later(LOOK_EVERY_S, self._look)
