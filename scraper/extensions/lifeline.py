"""Ends a worker whose supervisor is gone, however that died."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

PR_SET_PDEATHSIG = 1


class Lifeline:
    """Watches the pipe `LIFELINE_FD` that the supervisor holds open: its end is the worker's.

    A thread, since the event loop may be busy; and on Linux the kernel kills the worker too, for
    the case that a parse holds the interpreter. The leases are handed back by the next supervisor.
    """

    def __init__(self, descriptor: int) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self._descriptor = descriptor
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        descriptor = os.environ.get("LIFELINE_FD", "")
        if not descriptor.isdigit():
            raise NotConfigured
        return cls(int(descriptor))

    def _watch(self) -> None:
        while os.read(self._descriptor, 1):
            pass
        os._exit(1)
