"""Who listens to the events, and how each gets them: in order, at its own pace, harming nobody."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Container
from typing import Any, Literal

import structlog

from scraper.jobs.suggest import did_you_mean
from supervisor.events import EVENTS, Event, Gap

log = structlog.get_logger(__name__)

Scope = Literal["service", "queue"]
Listener = Callable[[Any], Awaitable[None] | None]

# Events that an async listener may be behind; then the stream waits for it.
LONGEST_BACKLOG = 1000


class UnknownEventError(ValueError):
    """There is no event of that name."""

    def __init__(self, name: str) -> None:
        hint = did_you_mean(name, EVENTS, "the events are")
        super().__init__(f"there is no event {name!r}; {hint}")


class Subscription:
    """One listener of one event name. A plain function is called at once; an async one by a task
    of its own, from a bounded backlog."""

    def __init__(self, name: str, listener: Listener, scope: Scope, is_once: bool) -> None:
        self.name = name
        self.listener = listener
        self.scope = scope
        self.is_once = is_once
        self._backlog: deque[Event] = deque()
        self._dropped = 0
        self._pump: asyncio.Task[None] | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def wait_for_room(self) -> None:
        """Until the listener is less than LONGEST_BACKLOG events behind."""
        await self._has_room.wait()

    def deliver(self, event: Event) -> None:
        """Hand over one event; what exceeds the backlog is dropped, and a `gap` follows."""
        if self._pump is None:
            result = self._call(event)
            if result is None:
                return
            self._pump = asyncio.create_task(self._run(result), name=f"listener {self.name}")
        elif len(self._backlog) >= LONGEST_BACKLOG:
            if not self._dropped:
                log.warning("a listener is too slow: events are dropped", event_name=self.name)
            self._dropped += 1
        else:
            self._backlog.append(event)
            if len(self._backlog) >= LONGEST_BACKLOG:
                self._has_room.clear()

    async def finish(self, without: Container[object]) -> None:
        """Wait until it has handled what it was given, unless its task is among `without`."""
        while self._pump is not None and self._pump not in without:
            await asyncio.wait({self._pump})

    def cancel(self) -> None:
        """It hears nothing more."""
        self._backlog.clear()
        self._has_room.set()
        if self._pump is not None:
            self._pump.cancel()

    async def _run(self, first: Awaitable[None]) -> None:
        try:
            await self._awaited(first)
            while self._backlog:
                event = self._backlog.popleft()
                self._has_room.set()
                result = self._call(event)
                if result is not None:
                    await self._awaited(result)
                if self._dropped and not self._backlog:
                    self._backlog.append(Gap(count=self._dropped))
                    self._dropped = 0
        finally:
            self._pump = None

    def _call(self, event: Event) -> Awaitable[None] | None:
        try:
            result = self.listener(event)
        except Exception:
            log.exception("a listener failed", event_name=event.name)
            return None
        return result if inspect.isawaitable(result) else None

    async def _awaited(self, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception:
            log.exception("a listener failed", event_name=self.name)


class Listeners:
    """All subscriptions of a service."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, list[Subscription]] = {}

    def add(self, name: str, listener: Listener, scope: Scope, *, is_once: bool = False) -> None:
        """Raises UnknownEventError."""
        if name not in EVENTS:
            raise UnknownEventError(name)
        if scope not in ("service", "queue"):
            raise ValueError(f"scope is 'service' or 'queue', not {scope!r}")
        subscription = Subscription(name, listener, scope, is_once)
        self._subscriptions.setdefault(name, []).append(subscription)

    def remove(self, name: str, listener: Listener | None = None) -> None:
        """One listener of a name, or all of them; what is not there is no error."""
        kept = []
        for subscription in self._subscriptions.pop(name, []):
            if listener is None or subscription.listener == listener:
                subscription.cancel()
            else:
                kept.append(subscription)
        if kept:
            self._subscriptions[name] = kept

    def hears(self, name: str) -> bool:
        return bool(self._subscriptions.get(name))

    def publish(self, event: Event, *, is_own: bool = True) -> bool:
        """Hand an event to those it is for; False when nobody listens.

        `is_own` False: it is of another supervisor's workers.
        """
        heard = [
            subscription
            for subscription in self._subscriptions.get(event.name, ())
            if is_own or subscription.scope == "queue"
        ]
        for subscription in heard:
            if subscription.is_once:
                self._subscriptions[event.name].remove(subscription)
            subscription.deliver(event)
        return bool(heard)

    async def wait_for_room(self, name: str) -> None:
        """Until every listener of a name can take another event without dropping any."""
        for subscription in list(self._subscriptions.get(name, ())):
            await subscription.wait_for_room()

    async def finish(self, deadline_s: float, without: Container[object] = ()) -> None:
        """Let async listeners handle what they were given; those that need longer are ended.

        Tasks in `without` are not waited for: they wait for the caller.
        """
        pending = [item for items in self._subscriptions.values() for item in items]
        try:
            async with asyncio.timeout(deadline_s):
                for subscription in pending:
                    await subscription.finish(without)
        except TimeoutError:
            log.warning("listeners did not end in time")
            for subscription in pending:
                subscription.cancel()
