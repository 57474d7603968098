"""Random transitions by several workers on a real server, each compared with the model."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scraper.jobs.leases import (
    LeaseReply,
    LeaseRequest,
    Pace,
    PageCommit,
    PageOutcome,
    WorkerDeath,
)
from scraper.jobs.states import TRANSITIONS, JobState
from tests.conformance.frontier_model import FINAL, FrontierModel, ModelJob
from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver, strict_client, submission
from tests.support.queue_invariants import faults
from tests.support.queue_snapshot import QueueProbe, StoredJob

T = TypeVar("T")

HOSTS = ("a.test", "b.test", "c.test")
URLS = [f"http://{host}/{page}" for host in HOSTS for page in range(5)]
JOB_IDS = [f"j{number}" for number in range(6)]
BOUND = tuple(f"@{job_id}" for job_id in JOB_IDS)
# An instance keeps its pools for life; the first one can run everything.
POOLS_OF = {"w0": (*POOLS, *BOUND), "w1": POOLS, "w2": ("single-page",), "w3": BOUND}
FOREVER_MS = 10**12
LONG_MS = 10 * HOUR_MS
DRAIN_ROUNDS = 120

OUTCOMES = [PageOutcome.DONE] * 6 + [PageOutcome.FAILED, PageOutcome.SKIPPED, PageOutcome.RETRY]


class RandomOperations(RuleBasedStateMachine):
    """Subclasses set where the server is and how many workers there are.

    Each step draws a seed and chooses by it: Hypothesis' own choice of rules leaves most of its
    runs without a single lease.
    """

    url = ""
    admin_url = ""
    queue_name = "scrape-random"
    worker_count = 1

    def __init__(self) -> None:
        super().__init__()
        self.model = FrontierModel()
        self.loop = asyncio.new_event_loop()
        self.probe = QueueProbe(self.admin_url, self.queue_name)
        self.probe.flush()
        self.workers = [f"w{number}" for number in range(self.worker_count)]
        self.drivers = {
            worker: QueueDriver(strict_client(self.url), self.queue_name) for worker in self.workers
        }
        self.transitions = self.drivers["w0"].transitions
        self.last_request: dict[str, tuple[LeaseRequest, list[str]]] = {}
        self.ended: list[PageCommit] = []
        self.requests = 0
        self.steps = 0
        self.hops = 1
        self.rng = random.Random(0)

    @rule(seed=st.integers(0, 2**63))
    def step(self, seed: int) -> None:
        self.steps += 1
        self.rng = random.Random(f"{seed} {self.steps}")
        if self.model.is_paused and self.rng.random() < 0.2:
            self.pause_or_resume_queue()
        operation = self.rng.choices(OPERATIONS, WEIGHTS)[0]
        before = {job_id: job.state for job_id, job in self.model.jobs.items()}
        self.hops = 1
        operation(self)
        for job_id, state in before.items():
            if job_id in self.model.jobs:
                after = self.model.jobs[job_id].state
                assert after in _within(state, self.hops), f"{job_id}: {state} -> {after}"

    def run(self, name: str, transition: Coroutine[Any, Any, T]) -> T:
        reply = self.loop.run_until_complete(transition)
        note(f"{self.steps}: {name} -> {reply}")
        return reply

    def some_worker(self) -> str:
        return self.rng.choice(self.workers)

    @initialize(seed=st.integers(0, 2**63))
    def begin(self, seed: int) -> None:
        self.rng = random.Random(seed)
        for _ in range(4):
            self.submit()

    def some_job(self, *states: str) -> str:
        """A job in one of these states, or any, or one that there is not."""
        fitting = [it for it, job in self.model.jobs.items() if job.state in states]
        return self.rng.choice(fitting or JOB_IDS)

    # -- jobs -----------------------------------------------------------------------------------

    def submit(self) -> None:
        rng, job_id = self.rng, self.rng.choice(JOB_IDS)
        host_limit, host_delay_ms = rng.choice([(1, 0), (2, 0), (4, 0), (9, 0), (2, HOUR_MS)])
        changes: dict[str, Any] = {"pool": f"@{job_id}"} if rng.random() < 0.2 else {}
        job = submission(
            job_id, rng.choice(URLS[:12]), max_pages=rng.choice([1, 2, 4, 8, 50]),
            customer_id=rng.choice("xy"), priority=rng.choice([0, 0, 5]),
            attempts=rng.choice([1, 2]), delay_ms=rng.choice([0] * 5 + [HOUR_MS]),
            max_duration_ms=rng.choice([HOUR_MS, FOREVER_MS]),
            host_limit=host_limit, host_delay_ms=host_delay_ms,
            pace=rng.choice([Pace.NORMAL, Pace.NORMAL, Pace.TURBO]), **changes,
        )  # fmt: skip
        reply = self.run(f"submit {job}", self.transitions.submit_jobs([job]))
        assert reply == [self.model.submit(job)]

    def cancel(self) -> None:
        job_id = self.some_job("waiting", "active", "paused", "delayed")
        self._void(job_id)
        reply = self.run(f"cancel {job_id}", self.transitions.cancel_job(job_id))
        assert reply == self.model.cancel(job_id)

    def pause(self) -> None:
        job_id = self.some_job("waiting", "active", "delayed")
        reply = self.run(f"pause {job_id}", self.transitions.pause_job(job_id))
        assert reply == self.model.pause(job_id)

    def resume(self, job_id: str = "") -> None:
        job_id = job_id or self.some_job("paused")
        reply = self.run(f"resume {job_id}", self.transitions.resume_job(job_id))
        assert reply == self.model.resume(job_id)

    def retry(self) -> None:
        job_id = self.some_job(*FINAL, *self.rng.choice([[], ["delayed"]]))
        failed_only = self.rng.random() < 0.4
        transition = self.transitions.retry_job(job_id, failed_only)
        reply = self.run(f"retry {job_id} failed_only={failed_only}", transition)
        assert reply == self.model.retry(job_id, failed_only)

    def remove(self, job_id: str = "") -> None:
        job_id = job_id or self.some_job(*FINAL)
        reply = self.run(f"remove {job_id}", self.transitions.remove_job(job_id))
        assert reply == self.model.remove(job_id)

    def pause_or_resume_queue(self) -> None:
        self.model.is_paused = not self.model.is_paused
        transition = self.transitions.pause_queue(self.model.is_paused, POOLS)
        assert self.run(f"pause_queue {self.model.is_paused}", transition)

    # -- time -----------------------------------------------------------------------------------

    def delays_pass(self) -> None:
        note(f"{self.steps}: delays pass")
        self.probe.pass_time(LONG_MS, "delayed")
        self.model.delays_pass()

    def hosts_pass(self) -> None:
        note(f"{self.steps}: hosts pass")
        self.probe.pass_time(LONG_MS, "hosts")
        self.model.hosts_pass()

    def deadlines_pass(self) -> None:
        late = self.model.late_jobs(LONG_MS)
        for job_id in late:
            self._void(job_id)
        self.probe.pass_time(LONG_MS, "deadlines")
        assert self.run(f"expire {late}", self.transitions.expire_jobs(16)) == len(late)
        self.model.expire(late)

    def leases_expire(self) -> None:
        self.probe.pass_time(2 * FOREVER_MS, "workers")
        self.last_request.clear()
        reply = self.run("reclaim expired", self.transitions.reclaim_expired(16))
        assert reply == len(self.model.leases)
        for worker in self.workers:
            self.model.release(worker, self.model.held_by(worker))

    def promote(self) -> None:
        self.run("promote", self.transitions.promote_delayed(64))
        self.model.promote()

    # -- workers --------------------------------------------------------------------------------

    def lease(self) -> None:
        worker, rng = self.some_worker(), self.rng
        held = self._jobs_held_by(worker) if rng.random() < 0.5 else []
        self._lease(
            worker, pages=rng.choice([1, 3, 16]), slots=rng.choice([0, 1, 8, 8, 8]), held=held,
            ahead=rng.choice([0, 2]), spare=rng.choice([0, 1]),
        )  # fmt: skip

    def _lease(
        self, worker: str, *, pages: int = 16, slots: int = 16, held: Sequence[str] = (),
        ahead: int = 0, spare: int = 0,
    ) -> None:  # fmt: skip
        self.requests += 1
        self.hops = 2  # it promotes what is due, and then opens it
        pools = POOLS_OF[worker]
        request = LeaseRequest(
            request_id=f"r{self.requests}", pages=pages, slots=slots, pools=pools, held=held,
            ahead=ahead, spare=spare,
        )  # fmt: skip
        reply = self.run(f"lease {worker} {request}", self._ask(worker, request))
        self.model.promote()
        assert len(reply.pages) <= pages
        wrong = [it for page in reply.pages for it in self.model.grant(worker, page, pools)]
        assert not wrong, wrong
        opened = {page.job_id for page in reply.pages} - set(held)
        assert len(opened) <= slots + ahead + spare
        assert {job.job_id for job in reply.jobs} == opened
        gone = {it for it in held if self.model.jobs[it].state in FINAL | {"delayed"}}
        assert set(reply.gone) == gone
        self.last_request[worker] = (request, [page.token for page in reply.pages])

    def _ask(self, worker: str, request: LeaseRequest) -> Coroutine[Any, Any, LeaseReply]:
        return self.drivers[worker].transitions.lease_pages(worker, request, FOREVER_MS)

    def repeat_lease(self) -> None:
        worker = self.some_worker()
        if worker not in self.last_request:
            self.lease()
            return
        request, tokens = self.last_request[worker]
        reply = self.run(f"repeat lease {worker}", self._ask(worker, request))
        held = self.model.held_by(worker)
        assert [page.token for page in reply.pages] == [it for it in tokens if it in held]

    def commit(self) -> None:
        holders = [worker for worker in self.workers if self.model.held_by(worker)]
        if not holders:
            self.lease()
            return
        worker = self.rng.choice(holders)
        held = self.model.held_by(worker)
        count = self.rng.randint(1, min(6, len(held)))
        commits = [self._some_commit(token) for token in self.rng.sample(held, count)]
        if self.ended and self.rng.random() < 0.2:
            commits.insert(0, self.rng.choice(self.ended))
        if self.rng.random() < 0.1:
            commits.append(commits[-1])
        self._commit(worker, commits)

    def _some_commit(self, token: str) -> PageCommit:
        rng, lease = self.rng, self.model.leases[token]
        outcome = rng.choice(OUTCOMES)
        url, links = lease.url, []
        if outcome is PageOutcome.DONE:
            if rng.random() < 0.4:
                url = rng.choice(URLS)
            if self.model.jobs[lease.job].spec.max_pages > 1:
                links = rng.choices(URLS, k=rng.randint(0, 8))
        return PageCommit(
            token, outcome, url, f'{{"url":"{lease.url}"}}'.encode(), "code",
            retry_delay_ms=HOUR_MS, links=links,
            host_pause_ms=0 if outcome is PageOutcome.DONE else rng.choice([0] * 9 + [HOUR_MS]),
        )  # fmt: skip

    def _commit(self, worker: str, commits: list[PageCommit]) -> None:
        transition = self.drivers[worker].transitions.commit_pages(worker, "{}", commits)
        brief = [(it.token, it.outcome.value, it.url, it.links) for it in commits]
        replies = self.run(f"commit {worker} {brief}", transition)
        assert replies == self.model.commit(worker, commits)
        self.ended = [*self.ended, *commits][-20:]

    def replay_commits(self) -> None:
        if self.ended:
            self._commit(self.some_worker(), self.rng.sample(self.ended, min(4, len(self.ended))))
        else:
            self.lease()

    def release(self) -> None:
        worker = self.some_worker()
        tokens = [*self.model.held_by(worker)[:3], *(commit.token for commit in self.ended[-2:])]
        transition = self.transitions.release_pages(worker, tokens)
        released = self.run(f"release {worker} {tokens}", transition)
        assert released == self.model.release(worker, tokens)

    def reclaim(self) -> None:
        worker = self.some_worker()
        self.last_request.pop(worker, None)
        held = self.model.held_by(worker)
        reply = self.run(f"reclaim {worker}", self.transitions.reclaim_worker([worker]))
        assert reply == len(held)
        self.model.release(worker, held)

    def bury(self) -> None:
        """A worker dies of one page, mostly; a suspect does it again if there is one."""
        worker = self.some_worker()
        self.last_request.pop(worker, None)
        held = self.model.held_by(worker)
        suspects = [token for token in held if self._is_suspect(token)]
        begun = self.rng.sample(suspects or held, min(len(suspects or held), 1))
        if self.rng.random() < 0.2:
            begun = [*held[:2], *(commit.token for commit in self.ended[-1:])]
        death = WorkerDeath(worker, '{"exit": "killed"}', list(dict.fromkeys(begun)))
        reply = self.run(f"bury {death}", self.transitions.bury_worker(death))
        assert reply == self.model.bury(worker, death.begun)

    def _is_suspect(self, token: str) -> bool:
        lease = self.model.leases[token]
        return lease.url in self.model.jobs[lease.job].suspects

    def extend(self) -> None:
        worker = self.some_worker()
        held = self._jobs_held_by(worker)
        transition = self.transitions.extend_leases(worker, FOREVER_MS, held)
        reply = self.run(f"extend {worker}", transition)
        assert reply.gone == []
        assert reply.is_known or not held

    def _jobs_held_by(self, worker: str) -> list[str]:
        tokens = self.model.held_by(worker)
        return list(dict.fromkeys(self.model.leases[token].job for token in tokens))

    def _void(self, job_id: str) -> None:
        """Remember tokens that are about to become void, for replays."""
        for token, lease in self.model.leases.items():
            if lease.job == job_id:
                self.ended.append(
                    PageCommit(token, PageOutcome.DONE, lease.url, b"{}", links=URLS[:3])
                )

    # -- what must hold -------------------------------------------------------------------------

    @invariant()
    def agrees_with_the_model(self) -> None:
        snapshot = self.probe.snapshot()
        found = faults(snapshot)
        assert not found, found
        assert snapshot.jobs.keys() == self.model.jobs.keys()
        for job_id, job in self.model.jobs.items():
            assert _seen(snapshot.jobs[job_id]) == _expected(job), job_id
        stored = {lease.token: (lease.worker, lease.job, lease.url) for lease in snapshot.leases}
        assert stored == {t: (le.worker, le.job, le.url) for t, le in self.model.leases.items()}

    # -- liveness -------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else a step failed: its error is the one to see
                self._drain()
                self._clean_up()
        finally:
            for driver in self.drivers.values():
                self.loop.run_until_complete(driver.redis.aclose())
            self.probe.flush()
            self.probe.close()
            self.loop.close()

    def _drain(self) -> None:
        """Resume everything, then work until all jobs have ended: nothing may be stuck."""
        if self.model.is_paused:
            self.pause_or_resume_queue()
        for job_id in self.model.jobs:
            self.resume(job_id)
        for _ in range(DRAIN_ROUNDS):
            if all(job.state in FINAL for job in self.model.jobs.values()):
                return
            self.delays_pass()
            self.hosts_pass()
            for worker in self.workers:
                self._work(worker)
            self.agrees_with_the_model()
        open_jobs = {it: job for it, job in self.model.jobs.items() if job.state not in FINAL}
        raise AssertionError(f"stuck: {open_jobs}")

    def _work(self, worker: str) -> None:
        self._lease(worker)
        for token in self.model.held_by(worker):
            lease = self.model.leases[token]
            payload = f'{{"url":"{lease.url}"}}'.encode()
            self._commit(worker, [PageCommit(token, PageOutcome.DONE, lease.url, payload)])

    def _clean_up(self) -> None:
        """With its jobs and workers gone, a queue is empty but for its counters."""
        for job_id in list(self.model.jobs):
            self.remove(job_id)
        self.run("reclaim all", self.transitions.reclaim_worker(self.workers))
        self.probe.pass_time(LONG_MS, "delayed", "hosts")
        self.run("promote", self.transitions.promote_delayed(1000))
        kept = {"meta", "totals", "measures", "virtual_time", "events"}
        left = {
            name: stored.value
            for name, stored in self.probe.snapshot().own.items()
            if name not in kept and not (name.startswith("host:") and stored.ttl_ms >= 0)
        }
        assert left == {}, left


OPERATIONS: Sequence[Callable[[RandomOperations], None]]
WEIGHTS: Sequence[int]
OPERATIONS, WEIGHTS = zip(
    *{
        RandomOperations.submit: 8,
        RandomOperations.lease: 24,
        RandomOperations.commit: 30,
        RandomOperations.replay_commits: 3,
        RandomOperations.repeat_lease: 3,
        RandomOperations.release: 3,
        RandomOperations.reclaim: 2,
        RandomOperations.bury: 6,
        RandomOperations.extend: 2,
        RandomOperations.cancel: 2,
        RandomOperations.pause: 3,
        RandomOperations.resume: 6,
        RandomOperations.retry: 8,
        RandomOperations.remove: 2,
        RandomOperations.pause_or_resume_queue: 1,
        RandomOperations.delays_pass: 8,
        RandomOperations.hosts_pass: 10,
        RandomOperations.deadlines_pass: 1,
        RandomOperations.leases_expire: 1,
        RandomOperations.promote: 2,
    }.items(),
    strict=True,
)


def _within(state: str, hops: int) -> set[str]:
    """The states that a job may reach by so many of its documented transitions."""
    reached = {state}
    for _ in range(hops):
        reached |= {str(to) for one in reached for to in TRANSITIONS[JobState(one)]}
    return reached


def _seen(job: StoredJob) -> dict[str, object]:
    return {
        "state": job.state,
        "pages": {url: (it.state, it.depth, it.attempts) for url, it in job.pages.items()},
        "attempt": job.number("attempt"),
        "fetches": job.number("fetches"),
        "left": job.number("left"),
        "recorded": job.recorded,
        "reason": job.fields.get("finish_reason", ""),
        "paused_from": job.fields.get("paused_from", "") if job.state == "paused" else "",
        "suspects": {url: it["charges"] for url, it in job.suspects.items()},
    }


def _expected(job: ModelJob) -> dict[str, object]:
    return {
        "state": job.state,
        "pages": {url: (it.state, it.depth, it.attempts) for url, it in job.pages.items()},
        "attempt": job.attempt,
        "fetches": job.fetches,
        "left": job.left,
        "recorded": job.recorded,
        "reason": job.reason,
        "paused_from": job.paused_from,
        "suspects": job.suspects,
    }
