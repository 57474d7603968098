"""Raw pushes: watches the lists that `redis-cli lpush` writes and makes jobs of their entries."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from redis.exceptions import ResponseError

from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.ending import end_tasks
from scraper.jobs.errors import InvalidJobError, JobsError
from scraper.jobs.transitions import Claim
from scraper.jobs.views import iso_time

if TYPE_CHECKING:
    from scraper.jobs.client import JobQueue

log = structlog.get_logger(__name__)

CLAIM_COUNT = 100
BLOCK_S = 5.0
# A claim this old belongs to a process that died between taking and submitting it.
ABANDONED_MS = 30_000
RETRY_S = 1.0
PAYLOAD_KEPT = 2_000
_SECRET = re.compile(
    r"""(["']?secret["']?\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,}]+)"""
)


@dataclass(frozen=True, slots=True)
class Door:
    """A list that takes pushes; a bare URL in it becomes a job of `job_type`.

    `is_queue_slot`: its key hashes to the queue's slot, so one script can claim and submit.
    """

    key: str
    job_type: str
    is_queue_slot: bool


def doors_of(queue_name: str, job_types: Sequence[str]) -> list[Door]:
    """The queue's own list, and scrapy-redis's `<spider>:start_urls` of each type."""
    own = Door(queue_name, "single-page", True)
    return [own, *(Door(f"{name}:start_urls", name, False) for name in sorted(job_types))]


def _without_secret(payload: bytes) -> str:
    """A push as it may be shown: a webhook's secret is not, also where the rest is no JSON."""
    return _SECRET.sub(r"\1***", payload.decode("utf-8", "backslashreplace"))


class DoorWatcher:
    """Takes pushes from all doors while it runs; a crash at any point loses none of them.

    Each push is claimed (moved beside its door), submitted under an id derived from the claim,
    then forgotten; what a dead watcher claimed is taken up by the next.
    """

    def __init__(self, queue: JobQueue, blocking: Any) -> None:
        """`blocking`: a client whose reads may block longer than BLOCK_S."""
        self._queue = queue
        self._blocking = blocking
        self._held: dict[str, list[Claim]] = {}

    async def run(self) -> None:
        """Watch all doors until cancelled."""
        doors = doors_of(self._queue.name, sorted(self._queue.job_types))
        tasks = [asyncio.create_task(self.watch(door), name=f"door {door.key}") for door in doors]
        try:
            await asyncio.wait(tasks)
        finally:
            await end_tasks(tasks)

    async def watch(self, door: Door) -> None:
        """Watch one door until cancelled; what cannot be accepted now is tried again."""
        checked_at_s = 0.0
        while True:
            try:
                if time.monotonic() - checked_at_s > ABANDONED_MS / 1000:
                    await self._resume(door)
                    checked_at_s = time.monotonic()
                if door.key not in self._held:
                    # Moving the oldest entry onto its own place waits for one, and takes none.
                    await self._blocking.blmove(door.key, door.key, BLOCK_S, "RIGHT", "RIGHT")
                while await self.take(door):
                    pass
            except ResponseError as error:
                log.error(
                    "door cannot be read",
                    door=door.key,
                    error=str(error),
                    hint="the key must be a list: delete it, or push with lpush",
                )
                await asyncio.sleep(BLOCK_S)
            except (JobsError, *REDIS_ERRORS) as error:
                log.warning("pushes wait", door=door.key, error=str(error))
                await asyncio.sleep(RETRY_S)

    async def take(self, door: Door) -> int:
        """Claim and submit what waits at a door, up to CLAIM_COUNT; how many there were.

        Claims that could not be submitted (Redis full, or away) are what the next call takes.
        """
        claims = self._held.get(door.key)
        if claims is None:
            transitions = self._queue.transitions
            claims = await transitions.drain_inbox(door.key, CLAIM_COUNT, door.is_queue_slot)
        if claims:
            self._held[door.key] = claims
            await self._accept(door, claims)
            del self._held[door.key]
        return len(claims)

    async def _resume(self, door: Door) -> None:
        claims = await self._queue.transitions.old_claims(
            door.key, CLAIM_COUNT, ABANDONED_MS, door.is_queue_slot
        )
        await self._accept(door, claims)

    async def _accept(self, door: Door, claims: Sequence[Claim]) -> None:
        submissions = []
        refused: list[tuple[Claim, str, str]] = []
        for claim in claims:
            in_queue = claim.claim_id if door.is_queue_slot else ""
            job_id = f"push-{claim.claim_id}" if in_queue else f"{door.job_type}-{claim.claim_id}"
            try:
                spec = self._queue.parse(claim.payload, default_type=door.job_type)
                submissions.append(
                    self._queue.submission(spec, job_id=spec.job_id or job_id, claim=in_queue)
                )
            except InvalidJobError as error:
                refused.append((claim, in_queue, str(error)))
        if submissions:
            await self._queue.submit(submissions)
        # After the submit, which may fail and be repeated: a refusal is listed once.
        for claim, in_queue, reason in refused:
            await self._reject(door, claim, in_queue, reason)
        if not door.is_queue_slot and claims:
            await self._queue.redis.hdel(
                f"{{{door.key}}}:claimed", *(claim.claim_id for claim in claims)
            )

    async def _reject(self, door: Door, claim: Claim, in_queue: str, reason: str) -> None:
        log.warning("push refused", door=door.key, reason=reason)
        rejection: Mapping[str, object] = {
            "payload": _without_secret(claim.payload)[:PAYLOAD_KEPT],
            "bytes": len(claim.payload),
            "reason": reason,
            "door": door.key,
            "at": iso_time(int(claim.claim_id.partition("-")[0])),
            "claim": claim.claim_id,
        }
        await self._queue.transitions.reject_push(
            in_queue, orjson.dumps(rejection).decode(), door.key, reason
        )
