"""Runs a service as a process of its own: until a signal, or until its workers cannot start."""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol

import structlog

from scraper.jobs import JobsError
from supervisor.signals import SignalInbox

log = structlog.get_logger(__name__)

EXIT_FAILED, EXIT_INTERRUPTED = 2, 130


class Servable(Protocol):
    """What is needed of a service."""

    @property
    def is_running(self) -> bool: ...

    async def start(self) -> None: ...

    async def stop(self, *, signal_name: str = "") -> None: ...

    def force_stop(self, reason: str) -> None: ...

    async def restart_all(self) -> None: ...

    async def until_over(self) -> str: ...

    def dump_stacks(self) -> None: ...


async def serve(service: Servable) -> int:
    """Start, serve, drain. 0 after SIGTERM or `stop()`, 130 after SIGINT, 2 when no worker can
    start any more.

    SIGHUP restarts the workers one after another; a second SIGTERM or SIGINT kills them, their
    leases go back all the same. Raises what `start` raises.
    """
    with SignalInbox(service.dump_stacks) as inbox:
        starting = asyncio.create_task(service.start(), name="start")
        number = await _first(starting, inbox)
        while number is signal.SIGHUP and not starting.done():
            number = await _first(starting, inbox)
        if starting.done():
            await starting
            number = number or await _until_end(service, inbox)
        if number is None:
            await service.stop()
            return EXIT_FAILED
        await _stop(service, starting, number, inbox)
        return EXIT_INTERRUPTED if number is signal.SIGINT else 0


async def _until_end(service: Servable, inbox: SignalInbox) -> signal.Signals | None:
    """The signal that ends the service (SIGTERM stands for a call of `stop`); None: it failed."""
    rolling: asyncio.Task[None] | None = None
    over = asyncio.create_task(service.until_over(), name="until over")
    try:
        while (number := await _first(over, inbox)) is signal.SIGHUP:
            if rolling is None or rolling.done():
                log.info("rolling restart")
                rolling = asyncio.create_task(_roll(service), name="rolling restart")
        if number is not None:
            return number
        if reason := await over:
            log.error("no worker can start", reason=reason)
            return None
        return signal.SIGTERM
    finally:
        for task in (over, rolling):
            if task is not None:
                task.cancel()


async def _roll(service: Servable) -> None:
    try:
        await service.restart_all()
    except JobsError as error:
        log.error("the rolling restart was broken off", error=str(error))


async def _stop(
    service: Servable, starting: asyncio.Task[None], number: signal.Signals, inbox: SignalInbox
) -> None:
    if not starting.done() and not service.is_running:
        starting.cancel()
    stopping = asyncio.create_task(service.stop(signal_name=number.name))
    while not stopping.done():
        if await _first(stopping, inbox) in (signal.SIGTERM, signal.SIGINT):
            service.force_stop("a second signal")
    await stopping
    await asyncio.wait({starting})


async def _first(
    task: asyncio.Task[None] | asyncio.Task[str], inbox: SignalInbox
) -> signal.Signals | None:
    """The next signal; None when the task ended before one came."""
    receiving = asyncio.create_task(inbox.next())
    await asyncio.wait({task, receiving}, return_when=asyncio.FIRST_COMPLETED)
    if receiving.done():
        return receiving.result()
    receiving.cancel()
    return None
