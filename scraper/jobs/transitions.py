"""Typed faces of the Lua transitions: one method a script, safe to repeat."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scraper.jobs.durability import ReplicaAcknowledgement
from scraper.jobs.history import HISTORY_EVERY_MS, HISTORY_POINTS
from scraper.jobs.keys import Keys
from scraper.jobs.leases import (
    Burial,
    CommitOutcome,
    Extension,
    LeasedJob,
    LeasedPage,
    LeaseReply,
    LeaseRequest,
    Pace,
    PageCommit,
    PageOutcome,
    RobotsClaim,
    Start,
    StartState,
    WorkerDeath,
)
from scraper.jobs.scripts import ScriptRunner, load_library

# A page whose redirect leads to a host that rests for longer is delayed instead of held.
LONGEST_REST_MS = 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated job as the submit script takes it. Times in ms.

    `pool`: which workers may take it (the job's type, or `@<id>` for a foreground job). `pace`:
    which of a host's wishes bind it.
    `claim` names the raw push that it came from, "" otherwise.
    """

    job_id: str
    spec: str
    type: str
    pool: str
    customer_id: str
    priority: int
    start_url: str
    max_pages: int
    max_duration_ms: int
    attempts: int
    backoff_type: str
    backoff_ms: int
    delay_ms: int
    host_limit: int
    host_delay_ms: int
    pace: Pace
    result_ttl_ms: int
    claim: str = ""

    def args(self) -> list[Any]:
        return [
            self.job_id, self.spec, self.type, self.pool, self.customer_id, self.priority,
            self.start_url, self.max_pages, self.max_duration_ms, self.attempts,
            self.backoff_type, self.backoff_ms, self.delay_ms,
            f"{self.host_limit} {self.host_delay_ms} {self.pace}", self.result_ttl_ms, self.claim,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """A raw push taken from a door and not yet accepted or refused."""

    claim_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReadyWork:
    """`lanes`: a job's pages of one host are one; `pages` of all these lanes."""

    lanes: int
    pages: int


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _leased_page(token: bytes, lease: bytes, found_on: bytes, terms: bytes) -> LeasedPage:
    """A page as the lease script tells of it: its lease as stored, and on what terms."""
    url, job, _host, start_at, depth, _parent, attempt, *extra = lease.decode().split(" ", 7)
    is_contended, is_suspect, delay, *strain = terms.split()
    return LeasedPage(
        _text(token), job, url, int(depth), int(attempt), _text(found_on), int(start_at),
        is_contended == b"1", extra[0] if extra else "", is_suspect == b"1",
        int(delay), int(strain[0]) if strain else 0,
    )  # fmt: skip


def _head(page: PageCommit) -> str:
    """What is told of a page in one text, which many have in common."""
    outcome = page.outcome.value
    if page.outcome is PageOutcome.DONE and any(" " in link for link in page.links):
        outcome = "done+"
    strain = f" {page.host_strain_ms}" if page.host_strain_ms else ""
    return f"{outcome} {len(page.links)} {len(page.filtered) + len(page.charged)}{strain}"


class Transitions:
    """Every change of a queue's state. Each call is one atomic script.

    Raises redis-py's errors (`redis.exceptions.RedisError`); the client in front of it translates
    them. A call whose reply was lost may be repeated: it has the effect of one.
    """

    def __init__(
        self, redis: ScriptRunner, queue: str, replicas: ReplicaAcknowledgement | None = None
    ) -> None:
        """`replicas`: submits and commits are waited for until replicas have them, and raise
        NotReplicatedError otherwise."""
        self.redis = redis
        self._replicas = replicas
        self._reported_s: float | None = None
        self.keys = Keys(queue)
        self._meta = self.keys.key("meta")

    async def _run(self, name: str, *args: Any, more_keys: Sequence[str] = ()) -> Any:
        return await load_library().run(self.redis, name, [self._meta, *more_keys], list(args))

    async def _run_safely(self, name: str, *args: Any) -> Any:
        """As `_run`, to the durability that was asked for."""
        if self._replicas is None:
            return await self._run(name, *args)
        return await load_library().run_acknowledged(
            self.redis, name, [self._meta], list(args), self._replicas
        )

    async def submit_jobs(self, jobs: Sequence[Submission]) -> list[bool]:
        """True for each accepted job, False for one whose id is known already."""
        replies = await self._run_safely(
            "submit_jobs", *(arg for job in jobs for arg in job.args())
        )
        return [reply == 1 for reply in replies]

    async def drain_inbox(self, door: str, count: int, queue_slot: bool = True) -> list[Claim]:
        """Claim up to `count` raw pushes of a door, oldest first."""
        return await self._drain(door, queue_slot, count, "0", 0)

    async def old_claims(
        self, door: str, count: int, older_than_ms: int, queue_slot: bool = True
    ) -> list[Claim]:
        """Claims that a dead process left."""
        return await self._drain(door, queue_slot, count, "1", older_than_ms)

    async def _drain(self, door: str, queue_slot: bool, *args: Any) -> list[Claim]:
        meta = self._meta if queue_slot else f"{{{door}}}:meta"
        flat = await load_library().run(self.redis, "drain_inbox", [meta, door], list(args))
        return [Claim(_text(flat[i]), flat[i + 1]) for i in range(0, len(flat), 2)]

    async def reject_push(self, claim_id: str, rejection: str, door: str, reason: str) -> None:
        """Keep a refused push with its reason."""
        await self._run("reject_push", claim_id, rejection, door, reason)

    async def lease_pages(self, worker: str, request: LeaseRequest, lease_ms: int) -> LeaseReply:
        """Pages for a worker, as politeness, budgets and turns allow; may be none."""
        now, due, pages, jobs, gone = await self._run(
            "lease_pages", worker, request.request_id, request.pages, request.slots,
            request.ahead, request.spare, lease_ms, request.horizon_ms,
            json.dumps(list(request.pools)), *request.held,
        )  # fmt: skip
        return LeaseReply(
            now_ms=now,
            next_due_ms=due,
            pages=[
                _leased_page(*pages[at : at + 4]) for at in range(0, len(pages), 4)
            ],
            jobs=[
                LeasedJob(
                    _text(j[0]), _text(j[1]), _text(j[2]), int(j[3]), _text(j[4]), int(j[5])
                )
                for j in jobs
            ],
            gone=[_text(job) for job in gone],
        )  # fmt: skip

    async def commit_pages(
        self, worker: str, memory: str, pages: Sequence[PageCommit]
    ) -> list[CommitOutcome]:
        """End leases; one outcome a page. A void token changes nothing (LEASE_LOST)."""
        args: list[Any] = [worker, memory]
        for page in pages:
            url = "" if page.url == page.leased_url else page.url
            args += [page.token, _head(page), url, page.payload, page.body_bytes]
            if page.outcome is not PageOutcome.DONE:
                args += [page.code, page.retry_delay_ms, page.host_pause_ms]
            args += page.links
            args += [item.packed for item in page.filtered]
            args += [link.packed for link in page.charged]
        outcomes = [CommitOutcome.OK] * len(pages)
        others = await self._run_safely("commit_pages", *args)
        for place, outcome in zip(others[::2], others[1::2], strict=True):
            outcomes[place - 1] = CommitOutcome(_text(outcome))
        return outcomes

    async def release_pages(self, worker: str, tokens: Sequence[str]) -> int:
        """Give leases back uncharged; how many were still held."""
        return int(await self._run("release_pages", worker, *tokens))

    async def keep_leases(self, worker: str, tokens: Sequence[str]) -> int:
        """Give back all that the worker holds but these, uncharged; how many there were."""
        return int(await self._run("keep_leases", worker, *tokens))

    async def take_start(self, worker: str, token: str, number: int, url: str) -> Start:
        """When a further request of a leased page may start; `number` tells it from others."""
        state, at, delay = await self._run(
            "take_start", worker, token, number, url, LONGEST_REST_MS
        )
        return Start(StartState(_text(state)), at, delay)

    async def claim_robots(self, origin: str, worker: str, claim_ms: int) -> RobotsClaim:
        """The stored robots.txt of an origin, or the right to fetch it; repeated, it is renewed.

        With `claim_ms` 0 the worker's right ends, and the next one that asks has it.
        """
        state, ttl, stored = await self._run("claim_robots", origin, worker, claim_ms)
        return RobotsClaim(state == b"yours", ttl, stored if state == b"known" else None)

    async def store_robots(
        self, origin: str, host: str, stored: bytes, ttl_ms: int, crawl_delay_ms: int
    ) -> None:
        """Keep a robots.txt for the fleet for `ttl_ms`, and its Crawl-delay (0: none)."""
        await self._run("store_robots", origin, host, stored, ttl_ms, crawl_delay_ms)

    async def reclaim_worker(self, instances: Iterable[str]) -> int:
        """Take back all leases of dead workers; how many there were."""
        return int(await self._run("reclaim_worker", *instances))

    async def bury_worker(self, death: WorkerDeath) -> Burial:
        """A worker died: take back its leases, make suspects of the pages that it was handling,
        quarantine those that have done it three times alone."""
        pages, quarantined = await self._run(
            "bury_worker", death.instance, death.evidence, *death.begun
        )
        return Burial(pages, [_text(url) for url in quarantined])

    async def reclaim_expired(self, bound: int = 16) -> int:
        """Take back the leases of workers that were not heard of in time."""
        return int(await self._run("reclaim_expired", bound))

    async def extend_leases(self, worker: str, lease_ms: int, held: Sequence[str]) -> Extension:
        """Extend a worker's leases; tells which of its jobs ended meanwhile."""
        alive, gone = await self._run("extend_leases", worker, lease_ms, *held)
        return Extension(alive == 1, [_text(job) for job in gone])

    async def promote_delayed(self, bound: int = 64) -> int:
        """Do what time has made due; how many delayed jobs and pages became ready."""
        return int(await self._run("promote_delayed", bound))

    async def job_pace(self, job_id: str) -> str:
        """JSON of a job's rate, eta and what holds it up; "" when it has none."""
        return _text(await self._run("job_pace", job_id))

    async def expire_jobs(self, bound: int = 64) -> int:
        """End jobs that are past their maxDuration; how many."""
        return int(await self._run("expire_jobs", bound))

    async def cancel_job(self, job_id: str) -> str:
        """The state before ("" = no such job); a final one means that nothing changed."""
        return _text(await self._run("cancel_job", job_id))

    async def pause_job(self, job_id: str) -> str:
        """The state before, "" = no such job."""
        return _text(await self._run("pause_job", job_id))

    async def resume_job(self, job_id: str) -> str:
        """The state now, "" = no such job."""
        return _text(await self._run("resume_job", job_id))

    async def retry_job(self, job_id: str, failed_pages_only: bool = False) -> str:
        """The state before, "" = no such job, "nothing" = nothing left to run."""
        return _text(await self._run("retry_job", job_id, int(failed_pages_only)))

    async def remove_job(self, job_id: str) -> str:
        """The state before, "" = no such job; only a final one was removed."""
        return _text(await self._run("remove_job", job_id))

    async def pause_queue(self, is_paused: bool, pools: Sequence[str]) -> bool:
        """True when that changed something."""
        return bool(await self._run("pause_queue", int(is_paused), json.dumps(list(pools))))

    async def count_ready(self, pools: Sequence[str], most_lanes: int = 256) -> ReadyWork:
        """The work that a free worker could take now; changes nothing."""
        lanes, pages = await self._run("count_ready", json.dumps(list(pools)), most_lanes)
        return ReadyWork(int(lanes), int(pages))

    async def publish_events(
        self, supervisor: str, origin: str, batch: int, events: Sequence[tuple[str, str]]
    ) -> int:
        """Put a supervisor's events (name, rest as JSON) into the stream; how many were added.

        `origin` is a token of its process; batches are numbered, and one at a time.
        """
        flat = [text for event in events for text in event]
        return int(await self._run("publish_events", supervisor, origin, batch, *flat))

    async def report_supervisor(
        self, supervisor: str, report: str, kept_ms: int, load: Sequence[int] = (0, 0, 0, 0)
    ) -> bool:
        """Keep how a supervisor is, "" when it leaves. `load`: workers wanted, workers running,
        memory used and allowed in bytes. True when the history got a point."""
        numbers = " ".join(map(str, load))
        # With the time of suspension, which other machines do not have.
        now_s = time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
        elapsed_ms = "" if self._reported_s is None else int((now_s - self._reported_s) * 1000)
        added = await self._run(
            "report_supervisor", supervisor, report, kept_ms, numbers, HISTORY_EVERY_MS,
            HISTORY_POINTS, elapsed_ms,
        )  # fmt: skip
        self._reported_s = now_s
        return bool(added)
