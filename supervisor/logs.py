"""Logs of the supervisor: JSON lines for machines, readable on a terminal, all on stderr."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
)


def configure_logs(log_level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog's lines and those of `logging` to `stream` (None: stderr).

    For programs that are the supervisor; within somebody else's program the logs are theirs.
    """
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    stamp = structlog.processors.TimeStamper(
        fmt="%H:%M:%S" if is_terminal else "iso", utc=not is_terminal
    )
    finish: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if is_terminal:
        finish.append(structlog.dev.ConsoleRenderer(pad_event_to=30))
    else:
        finish += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*_SHARED, stamp], processors=finish)
    )
    level = logging.getLevelNamesMapping()[log_level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells which selector the event loop uses.
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            stamp,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


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
