"""This process's memory, as results report it."""

from __future__ import annotations

import json
import time

import psutil

EVERY_S = 5.0


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
