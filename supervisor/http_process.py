"""Keeps the HTTP server running: a child process whose crash or stall hurts nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time

import structlog

from scraper.jobs import Config, ConfigError
from supervisor import forks, lifeline
from supervisor.environment import worker_environment
from supervisor.http.binding import listen, listen_for_scrapyd
from supervisor.process import PROJECT_DIR, Lifeline, inherited_environment

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-P", lifeline.__file__, "supervisor.http")
# The child writes a byte a second.
STALLED_AFTER_S = 20.0
STOP_WITHIN_S = 5.0
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.2, 30.0
HEALTHY_AFTER_S = 60.0


class HttpServerKeeper:
    """Owns the listening socket and the child that serves on it; `run` is its duty."""

    def __init__(self, config: Config, redis_url: str) -> None:
        """Listens at once. Raises ConfigError when it cannot."""
        self._listener = listen(config)
        self._sockets = [self._listener]
        try:
            scrapyd = listen_for_scrapyd(config)
        except ConfigError:
            self._listener.close()
            raise
        self._lifeline = Lifeline()
        self._environment = worker_environment(config, redis_url)
        self._environment["LISTEN_FD"] = str(self._listener.fileno())
        self._environment["LIFELINE_FD"] = str(self._lifeline.read_end)
        if config.api_token:
            self._environment["API_TOKEN"] = config.api_token
        self.scrapyd_url: str | None = None
        if scrapyd is not None:
            self._sockets.append(scrapyd)
            self._environment["SCRAPYD_FD"] = str(scrapyd.fileno())
            self._environment["SCRAPYD_PASSWORD"] = config.scrapyd_password or ""
            self.scrapyd_url = _url(scrapyd)
        for owned in self._sockets:
            forks.own(owned.fileno())
        self._failures = 0

    @property
    def url(self) -> str:
        """Where people reach it."""
        return _url(self._listener)

    async def run(self) -> None:
        """Keep one server running until cancelled; it is asked to end then."""
        while True:
            started_s = time.monotonic()
            ending = await self._serve_once()
            is_fresh = time.monotonic() - started_s >= HEALTHY_AFTER_S
            self._failures = 1 if is_fresh else self._failures + 1
            longest_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(self._failures - 1, 16))
            pause_s = random.uniform(longest_s / 2, longest_s)
            log.warning("HTTP server ended", end=ending, restart_in_s=round(pause_s, 2))
            await asyncio.sleep(pause_s)

    def close(self) -> None:
        """Let go of the socket; a server that still lives ends."""
        self._lifeline.close()
        for owned in self._sockets:
            forks.disown(owned.fileno())
            owned.close()

    async def _serve_once(self) -> str:
        """Start a server and wait for its end; what it died of."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=PROJECT_DIR,
                env={**inherited_environment(), **self._environment,
                     "HEARTBEAT_FD": str(write_end)},
                pass_fds=(
                    self._lifeline.read_end, write_end, *(it.fileno() for it in self._sockets)
                ),
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            os.close(read_end)
            return str(error)
        finally:
            os.close(write_end)
        watching = asyncio.create_task(_until_stalled(read_end), name="HTTP server's heartbeat")
        ending = asyncio.create_task(process.wait(), name="HTTP server's end")
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return f"exit code {ending.result()}"
            process.kill()
            await ending
            return f"no sign of life for {STALLED_AFTER_S:g} s: killed"
        finally:
            watching.cancel()
            os.close(read_end)
            await _end(process, ending)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


async def _until_stalled(descriptor: int) -> None:
    """Return when nothing came through the pipe for too long; at its end, wait for ever."""
    heard_s = time.monotonic()
    while time.monotonic() - heard_s < STALLED_AFTER_S:
        await asyncio.sleep(1.0)
        with contextlib.suppress(BlockingIOError):
            if os.read(descriptor, 4096):
                heard_s = time.monotonic()


async def _end(process: asyncio.subprocess.Process, ending: asyncio.Task[int]) -> None:
    """Ask it to end, then make it."""
    if ending.done():
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    await asyncio.wait({ending}, timeout=STOP_WITHIN_S)
    if not ending.done():
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.wait({ending}, timeout=STOP_WITHIN_S)
