"""Shows the supervisor that the event loop runs, and dumps all stacks when it is told to."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from typing import ClassVar

from scrapy import signals

from scraper.extensions.duty import WorkerDuty
from scraper.worker import Worker

EVERY_S = 0.2
_STDERR = 2


class Ticking(WorkerDuty):
    """From the worker's start to its end: a tick on its board, five times a second.

    SIGUSR1 writes the stacks of all threads to standard error, also when the interpreter is held
    by one call into C: the handler itself is C.
    """

    # Not with the spider: what is through is still committed then.
    ends_at: ClassVar[object] = signals.engine_stopped

    async def run(self, worker: Worker) -> None:
        faulthandler.register(signal.SIGUSR1, file=_STDERR, all_threads=True)
        while True:
            worker.board.tick()
            worker.board.in_hand(worker.flow.in_flight)
            await asyncio.sleep(EVERY_S)
