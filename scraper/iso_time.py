"""The time of day as records, errors and events tell it."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def iso_now() -> str:
    """Now, in ISO 8601: UTC with milliseconds, such as 2026-03-01T12:00:00.250Z."""
    second, ms = divmod(time.time_ns() // 1_000_000, 1_000)
    return f"{_second(second)}.{ms:03}Z"


# A busy worker asks a thousand times a second.
@lru_cache(maxsize=2)
def _second(since_epoch_s: int) -> str:
    return datetime.fromtimestamp(since_epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
