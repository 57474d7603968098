"""Webhooks in Redis: the deliveries that wait, whose turn it is, what became of each attempt."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import orjson

from scraper.jobs.errors import UnreadableJobError
from scraper.jobs.events import QueueEvent
from scraper.jobs.job_fields import WEBHOOK_EVENTS
from scraper.jobs.model import JobSpec, Webhook
from scraper.jobs.scripts import ScriptRunner, load_library
from scraper.jobs.transitions import Transitions
from scraper.jobs.views import iso_time

EVENTS_TOLD = frozenset(WEBHOOK_EVENTS)
GAPS_TOLD = 900
# Of a job that this release cannot read: nobody can be told.
_UNREADABLE = JobSpec.model_construct(type="", url="")


class Outcome(StrEnum):
    """How an attempt ended. WAIT: it was not tried, its receiver rests."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to deliver: events up to `position` are queued; so many jobs have a webhook."""

    position: str
    hooks: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The next delivery of a job. `number` is its place in the queue, `sequence` counts the events
    that the receiver is told of a job, `id` is the event's place in the stream. Times in ms."""

    job_id: str
    number: str
    sequence: int
    id: str
    event: str
    at_ms: int
    detail: bytes
    attempt: int
    failing_since_ms: int | None
    spec: JobSpec

    def body(self) -> bytes:
        """What is sent: the same bytes at each attempt."""
        return orjson.dumps(
            {
                "event": self.event,
                "id": self.id,
                "sequence": self.sequence,
                "at": self.at_ms,
                "jobId": self.job_id,
                "customerId": self.spec.customer_id,
                **orjson.loads(self.detail),
                "metadata": self.spec.metadata,
            }
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt. `status` 0: no answer; `took_ms` until then."""

    outcome: Outcome
    status: int = 0
    took_ms: int = 0
    error: str = ""
    again_in_ms: int = 0


class Webhooks:
    """The webhooks of one queue. Raises redis-py's errors; calls may be repeated."""

    def __init__(self, redis: Any, transitions: Transitions) -> None:
        self._redis = redis
        self._runner: ScriptRunner = redis
        self.keys = transitions.keys

    async def _run(self, name: str, *args: Any) -> Any:
        return await load_library().run(self._runner, name, [self.keys.key("meta")], list(args))

    async def claim(self, deliverer: str, for_ms: int) -> Turn | None:
        """The right to deliver for `for_ms`, None while another one has it."""
        reply = await self._run("claim_webhooks", deliverer, for_ms)
        return Turn(reply[0].decode(), int(reply[1])) if reply else None

    async def give_back(self, deliverer: str) -> None:
        """Let others deliver."""
        await self._run("claim_webhooks", deliverer, 0)

    async def queue(
        self, deliverer: str, before: str, after: str, events: Sequence[QueueEvent]
    ) -> int:
        """Queue what the hooks of these events are to be told; the place is `after` then.

        -1: the right was lost, nothing is queued.
        """
        flat = [
            text
            for event in events
            for text in (
                event.job_id, event.id, event.name, event.at_ms, orjson.dumps(event.detail)
            )
        ]  # fmt: skip
        return int(await self._run("queue_deliveries", deliverer, before, after, *flat))

    async def hooked(self, events: Sequence[QueueEvent]) -> list[QueueEvent]:
        """Those that a webhook may want."""
        told = [event for event in events if event.name in EVENTS_TOLD]
        if events and events[0].name == "gap":
            told[:0] = await self._all_miss(events[0])
        jobs = list({event.job_id for event in told})
        if not jobs:
            return []
        scores = await self._redis.zmscore(self.keys.key("hooks"), jobs)
        known = {job for job, score in zip(jobs, scores, strict=True) if score is not None}
        return [event for event in told if event.job_id in known]

    async def _all_miss(self, gap: QueueEvent) -> list[QueueEvent]:
        """A gap is told to the log of each hook, of which it may have had events."""
        jobs = await self._redis.zrange(self.keys.key("hooks"), -GAPS_TOLD, -1)
        return [replace(gap, job_id=job.decode()) for job in jobs]

    async def due(self, limit: int) -> tuple[int, list[str], int | None]:
        """The time (ms); jobs whose next delivery is due; in how many ms that of another is."""
        seconds, microseconds = await self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        found = await self._redis.zrange(self.keys.key("hooks_due"), 0, limit - 1, withscores=True)
        due = [job.decode() for job, at in found if at <= now_ms]
        later = [int(at) - now_ms for _, at in found if at > now_ms]
        return now_ms, due, min(later, default=None)

    async def heads(self, jobs: Sequence[str]) -> list[Delivery]:
        """The next delivery of each of these jobs that has one."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.lindex(self.keys.key(f"hook:{job}:queue"), 0)
                pipe.hmget(self.keys.key(f"hook:{job}"), "attempts", "failing_since", "spec")
                pipe.hget(self.keys.job(job), "spec")
            replies = await pipe.execute()
        found = []
        for job, at in zip(jobs, range(0, len(replies), 3), strict=True):
            entry, (attempts, failing_since, old_spec), spec = replies[at : at + 3]
            if entry is None:
                continue
            job_spec = _with_webhook(spec, old_spec)
            number, sequence, event_id, event, at_ms, detail = entry.split(b" ", 5)
            found.append(
                Delivery(
                    job, number.decode(), int(sequence), event_id.decode(), event.decode(),
                    int(at_ms), detail, int(attempts or 0) + 1,
                    int(failing_since) if failing_since else None, job_spec,
                )
            )  # fmt: skip
        return found

    async def settle(self, deliverer: str, delivery: Delivery, attempt: Attempt) -> bool:
        """Note how an attempt ended; False when that was noted already or the right is lost."""
        reply = await self._run(
            "settle_delivery", deliverer, delivery.job_id, delivery.number, delivery.attempt,
            attempt.outcome.value, attempt.again_in_ms, attempt.status, attempt.took_ms,
            attempt.error,
        )  # fmt: skip
        return bool(reply == 1)

    async def redeliver(self, job_id: str, delivery_id: str, request: str = "") -> str:
        """Deliver again what is in the log: `queued`, `unknown`, or `full`."""
        reply = await self._run("redeliver", job_id, delivery_id, request or secrets.token_hex(8))
        return str(reply.decode())

    async def log(self, job_id: str, limit: int = 100) -> dict[str, Any]:
        """How a job's deliveries stand, with the newest attempts. `webhook` None: it has none."""
        hook = self.keys.key(f"hook:{job_id}")
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(self.keys.job(job_id), "spec")
            pipe.hgetall(hook)
            pipe.llen(f"{hook}:queue")
            pipe.zscore(self.keys.key("hooks_due"), job_id)
            pipe.lrange(f"{hook}:log", 0, limit - 1)
            spec, state, waiting, due_ms, attempts = await pipe.execute()
        return {
            "webhook": _shown(_with_webhook(spec).webhook),
            "waiting": waiting,
            "attempts": int(state.get(b"attempts", 0)),
            "failingSince": _iso(state.get(b"failing_since")),
            "lastError": state[b"last_error"].decode() if b"last_error" in state else None,
            "nextAttemptAt": _iso(due_ms),
            "dropped": int(state.get(b"dropped", 0)),
            "deliveries": [_logged(orjson.loads(text)) for text in attempts],
        }


def _with_webhook(*stored: bytes | None) -> JobSpec:
    """The first that has a webhook: a later job of the same id may have none."""
    found = _UNREADABLE
    for text in filter(None, stored):
        with suppress(UnreadableJobError):
            found = JobSpec.from_stored(text)
            if found.webhook is not None:
                break
    return found


def _iso(at_ms: bytes | float | None) -> str | None:
    return None if at_ms is None else iso_time(int(at_ms))


def _shown(webhook: Webhook | None) -> dict[str, Any] | None:
    """Without what may be secret: the secret, and what is behind the path of the URL."""
    if webhook is None:
        return None
    parts = urlsplit(webhook.url)
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return {"url": url, "events": list(webhook.events), "isSigned": webhook.secret is not None}


def _logged(line: dict[str, Any]) -> dict[str, Any]:
    """An attempt as users see it; a gap tells of deliveries that never were queued."""
    shown = {"outcome": line["outcome"], "at": iso_time(line["at"]), "error": line["error"]}
    if line["outcome"] == "gap":
        return {**shown, "sequence": line.get("sequence"), "count": line.get("count")}
    _, sequence, event_id, event, at_ms, _ = line["entry"].split(" ", 5)
    return {
        **shown,
        "id": event_id,
        "sequence": int(sequence),
        "event": event,
        "happenedAt": iso_time(int(at_ms)),
        "attempt": line["attempt"],
        "status": line["status"] or None,
        "tookMs": line["took"],
    }
