"""Signals of the process that runs the service."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STDERR = 2


class SignalInbox:
    """Collects SIGTERM, SIGINT and SIGHUP while it is open; SIGUSR1 dumps the stacks of all
    threads to standard error, also when the event loop is stuck, and calls `on_dump` where not."""

    def __init__(self, on_dump: Callable[[], None]) -> None:
        self._on_dump = on_dump
        self._received: asyncio.Queue[signal.Signals] = asyncio.Queue()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in HANDLED:
            loop.add_signal_handler(number, self._received.put_nowait, number)
        loop.add_signal_handler(signal.SIGUSR1, self._on_dump)
        faulthandler.register(signal.SIGUSR1, file=_STDERR, all_threads=True, chain=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        faulthandler.unregister(signal.SIGUSR1)
        for number in (*HANDLED, signal.SIGUSR1):
            loop.remove_signal_handler(number)

    async def next(self) -> signal.Signals:
        """The next one, in the order of their arrival."""
        return await self._received.get()
