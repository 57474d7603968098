"""Logs of a worker: one path for structlog, Scrapy and Twisted, and no wall of settings."""

from __future__ import annotations

import logging

import structlog

# They print every setting, extension and middleware at start-up.
CHATTY = (
    "scrapy.utils.log", "scrapy.crawler", "scrapy.middleware", "scrapy.addons",
    "scrapy.core.engine", "scrapy.extensions.feedexport",
)  # fmt: skip


def quieten_scrapy(log_level: str) -> None:
    """Let Scrapy say only what went wrong; all of it when `log_level` is debug."""
    if log_level.lower() == "debug":
        return
    for name in CHATTY:
        logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.WARNING)


def _readable(logger: object, method: str, event: structlog.typing.EventDict) -> str:
    text = str(event.pop("event"))
    facts = " ".join(f"{name}={value}" for name, value in event.items())
    return f"{text}  {facts}" if facts else text


def route_structlog() -> None:
    """Send structlog's lines through `logging`, as `event key=value`."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            _readable,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
