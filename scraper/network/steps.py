"""Shows at each moment which page is worked on, so that a crash can be laid to it.

Between its request and its callback a page is worked on in short steps: a part of its answer came
and is parsed, or its own task goes on with it. Nothing else runs within a step.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Protocol

from aiohttp.client_proto import ResponseHandler


class Mark(Protocol):
    """Shows one page while a step of it runs."""

    @property
    def is_on(self) -> bool: ...

    def on(self) -> None: ...

    def off(self) -> None: ...


# Of the page that this task fetches; None where nobody looks.
current_mark: ContextVar[Mark | None] = ContextVar("current_mark", default=None)


class MarkedSteps(Coroutine[Any, Any, None]):
    """A coroutine for a task: its mark is on whenever it runs, and off while it waits."""

    __slots__ = ("_coroutine", "_mark")

    def __init__(self, coroutine: Coroutine[Any, Any, None], mark: Mark) -> None:
        self._coroutine, self._mark = coroutine, mark

    def send(self, value: Any) -> Any:
        self._mark.on()
        try:
            return self._coroutine.send(value)
        finally:
            self._mark.off()

    def throw(self, *error: Any) -> Any:
        self._mark.on()
        try:
            return self._coroutine.throw(*error)
        finally:
            self._mark.off()

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._coroutine.__await__()


class MarkedProtocol(ResponseHandler):
    """Parses what comes on a connection, in C, as a step of the page that was asked for on it."""

    mark: Mark | None = None
    # Whether an answer came on it: then its server may close it just before the next request.
    has_answered = False

    def data_received(self, data: bytes) -> None:
        mark = self.mark
        # What had to wait until its reader had room comes within a step of the page's own task.
        if mark is None or mark.is_on:
            super().data_received(data)
            return
        mark.on()
        try:
            super().data_received(data)
        finally:
            mark.off()
