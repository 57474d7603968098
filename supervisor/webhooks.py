"""Delivers webhooks: follows the event stream, queues what is to be told, sends what is due."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from scraper.jobs import EventReader, JobQueue
from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.ending import end_tasks
from scraper.jobs.webhooks import Attempt, Delivery, Outcome, Turn
from supervisor.webhook_receivers import Receivers, origin_of

if TYPE_CHECKING:
    from supervisor.webhook_sender import WebhookSender

log = structlog.get_logger(__name__)

# The right to deliver is kept for this long: then another supervisor takes over.
RIGHT_MS = 15_000
OTHERS_TURN_S = 3.0
IDLE_S = 1.0
RETRY_S = 1.0
BUSY_LOOK_S, QUIET_LOOK_MS = 0.1, 500
AT_ONCE = 64
DUE_AT_ONCE = 256
QUEUED_AT_ONCE = 1000
BATCHES_A_LOOK = 10
# Deliveries of one job that are sent one after another without looking at the others.
IN_A_ROW = 100
GIVE_BACK_WITHIN_S = 1.0


class WebhookDeliverer:
    """A duty of every supervisor; of all that are on a queue, one delivers at a time."""

    def __init__(self, queue: JobQueue, supervisor: str) -> None:
        config = queue.config
        self._queue = queue
        self._hooks = queue.webhooks
        self._id = f"{supervisor} {secrets.token_hex(4)}"
        self._receivers = Receivers(config.webhook_backoff_s, config.webhook_backoff_max_s)
        self._give_up_ms = config.webhook_give_up_s * 1000
        self._reader: EventReader | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_my_turn = False
        self._pulse = asyncio.Event()
        self._now_ms = 0

    async def run(self) -> None:
        """Deliver until cancelled, whenever it is this one's turn."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)
            sender: WebhookSender | None = None
            while True:
                try:
                    turn = await self._hooks.claim(self._id, RIGHT_MS)
                    self._is_my_turn = turn is not None
                    if turn is None or not turn.hooks:
                        self._reader = None
                        await asyncio.sleep(IDLE_S if turn else OTHERS_TURN_S)
                        continue
                    if sender is None:
                        # Few queues have webhooks: the others do without an HTTP client here.
                        from supervisor.webhook_sender import WebhookSender

                        sender = await stack.enter_async_context(WebhookSender(self._queue.config))
                        stack.push_async_callback(self._leave)
                    await self._look(turn, sender)
                except REDIS_ERRORS as error:
                    log.warning("webhooks wait for Redis", error=str(error))
                    self._reader = None
                    await asyncio.sleep(RETRY_S)

    async def _leave(self) -> None:
        self._is_my_turn = False
        await end_tasks(self._tasks.values())
        self._tasks.clear()
        with contextlib.suppress(*REDIS_ERRORS, TimeoutError):
            async with asyncio.timeout(GIVE_BACK_WITHIN_S):
                await self._hooks.give_back(self._id)

    async def _look(self, turn: Turn, sender: WebhookSender) -> None:
        """One round: queue what is new, send what is due, wait for either."""
        self._pulse.clear()
        is_news = await self._follow(turn)
        next_ms = await self._send_due(sender)
        if is_news:
            return
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_LOOK_S):
                    await self._pulse.wait()
            return
        block_ms = max(1, QUIET_LOOK_MS if next_ms is None else min(next_ms, QUIET_LOOK_MS))
        if self._reader is not None and self._reader.position:
            place = {self._hooks.keys.key("events"): self._reader.position}
            await self._queue.blocking.xread(place, 1, block_ms)

    # -- what is new ------------------------------------------------------------------------

    async def _follow(self, turn: Turn) -> bool:
        """Queue what webhooks are to be told of new events; whether there may be more."""
        place = turn.position
        if self._reader is None or self._reader.position != place:
            self._reader = EventReader(self._queue.redis, self._queue.name, place)
        for _ in range(BATCHES_A_LOOK):
            events = await self._reader.read_now()
            if not events:
                return False
            if events[0].name == "gap":
                log.warning(
                    "webhooks have missed events", **events[0].detail,
                    hint="raise EVENTS_KEPT: more happened than was kept while nobody delivered",
                )  # fmt: skip
            wanted = await self._hooks.hooked(events)
            end = self._reader.position or place
            for start in range(0, max(1, len(wanted)), QUEUED_AT_ONCE):
                part = wanted[start : start + QUEUED_AT_ONCE]
                after = end if start + QUEUED_AT_ONCE >= len(wanted) else part[-1].id
                if await self._hooks.queue(self._id, place, after, part) < 0:
                    self._reader = None
                    return False
                place = after
        return True

    # -- what is due ------------------------------------------------------------------------

    async def _send_due(self, sender: WebhookSender) -> int | None:
        """Begin deliveries that are due; in how many ms the next one is."""
        self._now_ms, jobs, next_ms = await self._hooks.due(DUE_AT_ONCE)
        free = [job for job in jobs if job not in self._tasks]
        put_off = []
        for delivery in await self._hooks.heads(free) if free else []:
            attempt = self._unsent(delivery)
            if attempt is not None:
                put_off.append(self._hooks.settle(self._id, delivery, attempt))
            elif len(self._tasks) < AT_ONCE:
                job = delivery.job_id
                task = asyncio.create_task(self._deliver(delivery, sender), name=f"hook {job}")
                self._tasks[job] = task
        await asyncio.gather(*put_off)
        return next_ms

    def _unsent(self, delivery: Delivery) -> Attempt | None:
        """What is to be noted of a delivery that is not sent now; None: send it."""
        hook = delivery.spec.webhook
        if hook is None:
            return Attempt(Outcome.GIVEN_UP, error="the job has no webhook any more")
        origin = origin_of(hook.url)
        is_failing = delivery.failing_since_ms is not None or self._receivers.is_failing(origin)
        if is_failing and self._is_too_old(delivery):
            return Attempt(Outcome.GIVEN_UP, error="not tried: its receiver has failed for so long")
        wait_s = self._receivers.wait_s(origin, time.monotonic())
        if wait_s > 0:
            return Attempt(Outcome.WAIT, again_in_ms=int(wait_s * 1000) + 1)
        self._receivers.begin(origin)
        return None

    def _is_too_old(self, delivery: Delivery) -> bool:
        return self._now_ms - delivery.at_ms > self._give_up_ms

    async def _deliver(self, delivery: Delivery, sender: WebhookSender) -> None:
        """Send a job's deliveries one after another, as long as they are taken."""
        hook = delivery.spec.webhook
        assert hook is not None
        origin, is_up = origin_of(hook.url), False
        try:
            for _ in range(IN_A_ROW):
                attempt = await sender.send(delivery)
                is_up = attempt.outcome is Outcome.DELIVERED
                if attempt.outcome is Outcome.FAILED and self._is_too_old(delivery):
                    attempt = replace(attempt, outcome=Outcome.GIVEN_UP)
                self._tell(delivery, attempt)
                is_noted = await self._hooks.settle(self._id, delivery, attempt)
                if not (is_up and is_noted and self._is_my_turn):
                    break
                following = await self._hooks.heads([delivery.job_id])
                if not following:
                    break
                delivery = following[0]
        except REDIS_ERRORS as error:
            # What was sent and not noted is sent again.
            log.warning("a delivery was not noted", job=delivery.job_id, error=str(error))
        finally:
            self._receivers.end(origin, time.monotonic(), is_up=is_up)
            self._tasks.pop(delivery.job_id, None)
            self._pulse.set()

    @staticmethod
    def _tell(delivery: Delivery, attempt: Attempt) -> None:
        if attempt.outcome is Outcome.DELIVERED:
            return
        tell = log.warning if attempt.outcome is Outcome.GIVEN_UP else log.info
        tell(
            "webhook was not delivered", job=delivery.job_id, event_name=delivery.event,
            sequence=delivery.sequence, attempt=delivery.attempt, outcome=attempt.outcome.value,
            error=attempt.error, again_in_ms=attempt.again_in_ms or None,
        )  # fmt: skip
