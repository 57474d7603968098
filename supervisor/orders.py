"""Orders to supervisors on any machine, through Redis: restart, scale, drain."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from scraper.jobs import JobQueue, JobsError
from scraper.jobs.connection import REDIS_ERRORS
from supervisor.fleet_report import read_reports

log = structlog.get_logger(__name__)

BLOCK_S = 2.0
ANSWER_KEPT_S = 120
ORDER_KEPT_S = 60
RETRY_S = 1.0


class OrderError(JobsError):
    """No supervisor took the order, or it could not carry it out."""


class NoSupervisorError(OrderError):
    """The supervisor that is meant is not there, or it is not clear which one is."""


class OrderPendingError(OrderError):
    """No answer in time: it may still carry the order out."""


@dataclass(frozen=True, slots=True)
class Order:
    """`action` is restart (worker id, or "*" for all), scale (a number, or auto) or drain ("")."""

    action: str
    argument: str
    answer_key: str


Handler = Callable[[Order], Awaitable[str]]


async def present_supervisors(queue: JobQueue) -> list[str]:
    """Names of the supervisors that were heard of in the last seconds and take orders."""
    return [report["name"] for report in await read_reports(queue) if report["takesOrders"]]


async def chosen_supervisor(queue: JobQueue, name: str | None) -> str:
    """The supervisor that is meant; None: the only one. Raises NoSupervisorError with those that
    are there."""
    present = await present_supervisors(queue)
    if name in present or (name is None and len(present) == 1):
        return name or present[0]
    if not present:
        raise NoSupervisorError(
            "no supervisor is running on this queue: start `python -m supervisor run`"
        )
    listed = ", ".join(present)
    if name is None:
        raise NoSupervisorError(f"several supervisors are running: name one of {listed}")
    raise NoSupervisorError(f"no supervisor {name!r} is running; there are {listed}")


async def give_order(
    queue: JobQueue, supervisor: str, action: str, argument: str, timeout_s: float
) -> str:
    """Have one supervisor do something; what it answered.

    Raises OrderError when it refuses, OrderPendingError when it does not answer in time.
    """
    keys = queue.transitions.keys
    answer_key = keys.key(f"answer:{secrets.token_hex(8)}")
    order = json.dumps({"action": action, "argument": argument, "answer": answer_key})
    inbox = keys.key(f"orders:{supervisor}")
    async with queue.redis.pipeline(transaction=True) as pipe:
        pipe.rpush(inbox, order)
        pipe.expire(inbox, ORDER_KEPT_S)
        await pipe.execute()
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        block_s = max(0.05, min(BLOCK_S, deadline_s - time.monotonic()))
        if reply := await queue.blocking.blpop([answer_key], timeout=block_s):
            answer = json.loads(reply[1])
            if answer["ok"]:
                return str(answer["text"])
            raise OrderError(f"{supervisor}: {answer['text']}")
    raise OrderPendingError(
        f"{supervisor} did not answer within {timeout_s:g} s: it may still carry the order out"
    )


class OrderTaker:
    """Carries out what this supervisor is told."""

    def __init__(self, queue: JobQueue, supervisor: str, handle: Handler) -> None:
        self._queue = queue
        self._supervisor = supervisor
        self._handle = handle

    async def run(self) -> None:
        """Carry out orders, one after another, until cancelled."""
        inbox = self._queue.transitions.keys.key(f"orders:{self._supervisor}")
        while True:
            try:
                taken = await self._queue.blocking.blpop([inbox], timeout=BLOCK_S)
                if taken:
                    await self._carry_out(taken[1])
            except REDIS_ERRORS as error:
                log.debug("orders wait for Redis", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _carry_out(self, text: bytes) -> None:
        raw: dict[str, Any] = json.loads(text)
        order = Order(str(raw["action"]), str(raw["argument"]), str(raw["answer"]))
        log.info("order taken", action=order.action, argument=order.argument)
        try:
            answer = {"ok": True, "text": await self._handle(order)}
        except (JobsError, ValueError, TimeoutError) as error:
            answer = {"ok": False, "text": str(error)}
        redis = self._queue.redis
        async with redis.pipeline(transaction=True) as pipe:
            pipe.rpush(order.answer_key, json.dumps(answer))
            pipe.expire(order.answer_key, ANSWER_KEPT_S)
            await pipe.execute()
