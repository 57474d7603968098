"""This process's memory: read as results report it, and given back to the system."""

from __future__ import annotations

import ctypes
import gc
import json
import time
from functools import cache

import psutil

EVERY_S = 5.0


@cache
def _malloc_trim() -> ctypes._NamedFuncPointer | None:
    """glibc's; other C libraries have none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Collect garbage, and return what is free to the system."""
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


class MemoryReading:
    """{used, total} in bytes and percentUsed, as JSON; read every 5 s at the most."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._read_s = -EVERY_S
        self._text = "{}"

    def __call__(self) -> str:
        now = time.monotonic()
        if now - self._read_s >= EVERY_S:
            used, total = self._process.memory_info().rss, psutil.virtual_memory().total
            share = round(100 * used / total, 2)
            self._text = json.dumps({"used": used, "total": total, "percentUsed": share})
            self._read_s = now
        return self._text
