"""Runs a Python module that ends with its supervisor: `python -P lifeline.py scrapy work`.

Started by its path, with nothing but the standard library: a worker is tied from its first
milliseconds on, not only when Scrapy and all of ours have been loaded.
"""

import ctypes
import faulthandler
import gc
import os
import runpy
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def tie(descriptor: int) -> None:
    """End this process when the process that holds the pipe's other end is gone.

    On Linux the kernel kills it, whatever it does just then. The thread is for other systems, and
    for a supervisor that died before the kernel was asked.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(descriptor,), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os._exit(1)


def main() -> None:
    """`lifeline.py MODULE ARGUMENTS...`, with the pipe's descriptor in LIFELINE_FD."""
    tie(int(os.environ["LIFELINE_FD"]))
    # Before anything can hang: the stacks are asked for when this process does not come up.
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
    sys.argv = sys.argv[1:]
    # As `python -m` does.
    sys.path.insert(0, os.getcwd())
    # Nothing of what is loaded now is garbage: a worker is up an eighth sooner. It turns collection
    # on again when it is.
    gc.disable()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
