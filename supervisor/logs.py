"""Logs of a service within somebody else's program."""

from __future__ import annotations

import structlog


def route_to_logging() -> None:
    """In a program that did not set structlog up: leave our lines to its `logging`, not to
    stdout, which structlog uses by itself."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
