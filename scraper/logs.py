"""Logs of all our processes, all on one path: JSON lines for machines, readable on a terminal.

structlog's lines and those of `logging` (Scrapy, Twisted, warnings) look alike. A thread writes
them: whoever reads our output, or has stopped to, never holds a worker up.
"""

from __future__ import annotations

import atexit
import io
import logging
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from scraper.jobs.printable import printable, printable_lines

# They print every setting, extension and middleware at start-up.
CHATTY = (
    "scrapy.utils.log", "scrapy.crawler", "scrapy.middleware", "scrapy.addons",
    "scrapy.core.engine", "scrapy.extensions.feedexport",
)  # fmt: skip
# Lines that wait for a reader who does not read; what comes on top is counted and dropped.
MOST_WAITING = 10_000
LAST_LINES_S = 2.0

Facts = Callable[[], Mapping[str, Any]]


class LineWriter(logging.Handler):
    """Formats a record where it is made, and leaves writing to a thread."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def drain(self, within_s: float = LAST_LINES_S) -> bool:
        """Wait until all lines so far are written; False when that takes longer."""
        with self._lines.all_tasks_done:
            return self._lines.all_tasks_done.wait_for(
                lambda: not self._lines.unfinished_tasks, within_s
            )

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._stream.write(f"{line}\n")
                if self._dropped and self._lines.empty():
                    dropped, self._dropped = self._dropped, 0
                    self._stream.write(
                        f'{{"event": "log lines were dropped", "count": {dropped}}}\n'
                    )
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody can be told that the log cannot be written.
                pass
            finally:
                self._lines.task_done()


def configure_logs(
    log_level: str = "info", stream: TextIO | None = None, facts: Facts | None = None
) -> LineWriter:
    """Send structlog's lines and those of `logging` to `stream` (None: standard error).

    `facts`: what each line says besides, asked for where it is made. For programs that are ours;
    within somebody else's program the logs are theirs.
    """
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    shared = (*_shared(facts), _stamp(is_terminal))
    handler = LineWriter(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_finish(is_terminal),
            ],
        )
    )
    atexit.register(handler.drain)
    level = logging.getLevelNamesMapping()[log_level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells which selector the event loop uses.
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return handler


def flush_logs() -> None:
    """Have the last lines written, before a process ends without its usual end."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineWriter):
            handler.drain()


def quieten_scrapy(log_level: str) -> None:
    """Let Scrapy say only what went wrong; all of it when `log_level` is debug."""
    if log_level.lower() == "debug":
        return
    for name in CHATTY:
        logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.WARNING)


def route_structlog() -> None:
    """Send structlog's lines through `logging` as it is set up, as `event key=value`."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            _tame,
            _readable,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _shared(facts: Facts | None) -> tuple[Processor, ...]:
    def add_facts(logger: object, method: str, event: EventDict) -> EventDict:
        for name, value in (facts() if facts else {}).items():
            event.setdefault(name, value)
        return event

    return (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        add_facts,
    )


def _stamp(is_terminal: bool) -> Processor:
    return structlog.processors.TimeStamper(
        fmt="%H:%M:%S" if is_terminal else "iso", utc=not is_terminal
    )


def _finish(is_terminal: bool) -> tuple[Processor, ...]:
    if is_terminal:
        return _tame, structlog.dev.ConsoleRenderer(pad_event_to=30, exception_formatter=_traceback)
    return structlog.processors.format_exc_info, structlog.processors.JSONRenderer()


def _tame(logger: object, method: str, event: EventDict) -> EventDict:
    """What pages and servers wrote commands no terminal. (JSON escapes it anyway.)"""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable_lines(value) if name == "event" else printable(value)
    return event


def _traceback(out: TextIO, error: ExcInfo) -> None:
    """The traceback; structlog's default one shows all local variables where Rich is installed."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(printable_lines(text.getvalue()))


def _readable(logger: object, method: str, event: EventDict) -> str:
    text = str(event.pop("event"))
    facts = " ".join(f"{name}={value}" for name, value in event.items())
    return f"{text}  {facts}" if facts else text
