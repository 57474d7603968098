"""Reads Retry-After headers."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC

MAX_RETRY_AFTER_S = 3600.0


def retry_after_s(header: bytes | None) -> float | None:
    """Seconds to wait by a Retry-After header (a number or a date), None when there is none."""
    if not header:
        return None
    text = header.decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max(0.0, moment.timestamp() - time.time()), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return None
