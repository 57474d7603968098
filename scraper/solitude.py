"""Has suspects handled alone: while one is, no other page's callback has begun, and none begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Solitude:
    """Whose turn it is to be handled. Fetches go on meanwhile: nobody waits for a slow server.

    Callbacks that are not asynchronous begin and end within one call, so of those none ever waits
    for another. What had to wait is called in the order in which it came, each in a turn of the
    event loop of its own: a death then is that of one page.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._handled = 0
        self._is_of_a_suspect = False
        self._waiting: deque[tuple[bool, Callable[[], None]]] = deque()
        self._is_called = False

    @property
    def waiting(self) -> int:
        """How many pages wait for their turn."""
        return len(self._waiting)

    def may_begin(self, is_suspect: bool) -> bool:
        """Whether a page may be handled at once; else it is to `wait`."""
        if self._waiting:
            return False
        return self._has_room(is_suspect)

    def begin(self, is_suspect: bool) -> None:
        """A page is handled from now on, until `end`."""
        self._handled += 1
        self._is_of_a_suspect = is_suspect

    def end(self) -> None:
        """A page that was begun is through."""
        self._handled -= 1
        if not self._handled:
            self._is_of_a_suspect = False
        self._wake()

    def wait(self, is_suspect: bool, handle: Callable[[], None]) -> None:
        """Have `handle` called once the page may be handled; it must begin it at once."""
        self._waiting.append((is_suspect, handle))
        self._wake()

    def _has_room(self, is_suspect: bool) -> bool:
        return not self._is_of_a_suspect and not (is_suspect and self._handled)

    def _wake(self) -> None:
        if self._waiting and not self._is_called and self._has_room(self._waiting[0][0]):
            self._is_called = True
            self._call_soon(self._call_next)

    def _call_next(self) -> None:
        self._is_called = False
        if self._waiting and self._has_room(self._waiting[0][0]):
            _, handle = self._waiting.popleft()
            handle()
        self._wake()
