"""A service in this process for the integration tests, and a record of its events."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from scraper.jobs import OpenedQueue, load_config, open_queue
from supervisor import EVENTS, Event, ScraperWorkerService
from supervisor.policy import RestartLimits
from tests.support.processes import PATIENCE_S

T = TypeVar("T")

EAGER = RestartLimits(backoff_max_s=0.2, breaker_deaths=100)


class Place(Protocol):
    """Where a queue is."""

    @property
    def url(self) -> str: ...

    @property
    def name(self) -> str: ...


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def service_on(place: Place | None = None, **arguments: Any) -> ScraperWorkerService:
    """A service with no settings but ours."""
    where = {"redis_url": place.url, "queue_name": place.name} if place else {}
    config = load_config({}, allow_private_hosts="127.0.0.0/8", log_level="warning")
    settings = {"worker_count": 1, "restart_limits": EAGER, **where, **arguments}
    return ScraperWorkerService(config, **settings)


def asked(place: Place, question: Callable[[OpenedQueue], Awaitable[T]]) -> T:
    """What the queue's client answers, in this process: a command takes its time to start."""

    async def ask() -> T:
        queue = await open_queue(load_config({}, redis_url=place.url, queue_name=place.name))
        try:
            return await question(queue)
        finally:
            await queue.shutdown()

    return asyncio.run(ask())


async def until(is_so: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = "") -> None:
    """Wait for a condition; fails with `what` when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.02)


class Record:
    """All events of a service, by name and in order."""

    def __init__(self, service: ScraperWorkerService, scope: Any = "service") -> None:
        self.by_name: dict[str, list[Any]] = defaultdict(list)
        self.order: list[str] = []
        for name in EVENTS:
            service.on(name, self._note, scope=scope)

    def _note(self, event: Event) -> None:
        self.by_name[event.name].append(event)
        self.order.append(event.name)


def pids(service: ScraperWorkerService) -> dict[str, int]:
    """Worker id -> process id of those that run."""
    runtime = service._runtime
    assert runtime is not None
    return {slot.name: slot.pid for slot in runtime.children.alive if slot.pid is not None}
