"""This process's memory, as results report it."""

from __future__ import annotations

import json
import time

import psutil

_EVERY_S = 5.0
_process = psutil.Process()
_cached: tuple[float, str] = (-_EVERY_S, "{}")


def memory_json() -> str:
    """{used, total} in bytes and percentUsed, as JSON; read every 5 s at the most."""
    global _cached
    now = time.monotonic()
    if now - _cached[0] >= _EVERY_S:
        used, total = _process.memory_info().rss, psutil.virtual_memory().total
        share = round(100 * used / total, 2)
        _cached = (now, json.dumps({"used": used, "total": total, "percentUsed": share}))
    return _cached[1]
