"""Ends a worker whose supervisor is gone, however that died, from the worker's first moment on.

Imports nothing that takes time: a worker that is still importing Scrapy must end too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1

_held: set[int] = set()


def hold() -> bool:
    """Bind this process to the pipe `LIFELINE_FD` that the supervisor holds open: its end is the
    worker's. Again is harmless. False when there is no such pipe.

    A thread watches, since the event loop may be busy; and on Linux the kernel kills the worker
    too, for the case that a parse holds the interpreter. The leases are handed back by the next
    supervisor.
    """
    text = os.environ.get("LIFELINE_FD", "")
    if not text.isdigit():
        return False
    descriptor = int(text)
    if descriptor in _held:
        return True
    _held.add(descriptor)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(descriptor,), name="lifeline", daemon=True).start()
    return True


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os._exit(1)
