"""Whether anybody listens to a Scrapy signal: asking is ten times cheaper than sending."""

from __future__ import annotations

from typing import Any

from pydispatch import dispatcher  # type: ignore[import-untyped]


def has_receivers(sender: Any, signal: object) -> bool:
    """Whether `signal` from `sender` would reach a receiver now."""
    receivers = dispatcher.getReceivers
    return bool(
        receivers(sender, signal)
        or receivers(dispatcher.Any, signal)
        or receivers(sender, dispatcher.Any)
        or receivers(dispatcher.Any, dispatcher.Any)
    )
