"""Random transitions by several workers on a real server, each compared with the model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scraper.jobs.leases import LeaseReply, LeaseRequest, PageCommit, PageOutcome
from tests.conformance.frontier_model import FINAL, FrontierModel, ModelJob, host_of
from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver, page_commit, strict_client
from tests.support.queue_driver import submission
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

outcomes = st.sampled_from(
    [PageOutcome.DONE] * 5 + [PageOutcome.FAILED, PageOutcome.SKIPPED, PageOutcome.RETRY]
)


class RandomOperations(RuleBasedStateMachine):
    """Subclasses set where the server is and how many workers there are."""

    url = ""
    queue_name = "scrape-random"
    worker_count = 1

    def __init__(self) -> None:
        super().__init__()
        self.model = FrontierModel()
        self.loop = asyncio.new_event_loop()
        self.probe = QueueProbe(self.url, self.queue_name)
        self.probe.flush()
        self.workers = [f"w{number}" for number in range(self.worker_count)]
        self.drivers = {
            worker: QueueDriver(strict_client(self.url), self.queue_name)
            for worker in self.workers
        }
        self.driver = self.drivers["w0"]
        self.transitions = self.driver.transitions
        self.last_request: dict[str, tuple[LeaseRequest, list[str]]] = {}
        self.ended: list[PageCommit] = []
        self.requests = 0

    def run(self, transition: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(transition)

    # -- jobs -----------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """The scripts find an empty queue."""

    @rule(
        job_id=st.sampled_from(JOB_IDS),
        url=st.sampled_from(URLS[:12]),
        max_pages=st.sampled_from([1, 2, 4, 50]),
        customer=st.sampled_from(["x", "y"]),
        priority=st.sampled_from([0, 0, 5]),
        limits=st.sampled_from([(1, 0), (2, 0), (4, 0), (2, HOUR_MS)]),
        attempts=st.sampled_from([1, 2]),
        delay=st.sampled_from([0, 0, 0, HOUR_MS]),
        duration=st.sampled_from([HOUR_MS, FOREVER_MS]),
        is_bound=st.sampled_from([False, False, False, True]),
    )
    def submit(
        self, job_id: str, url: str, max_pages: int, customer: str, priority: int,
        limits: tuple[int, int], attempts: int, delay: int, duration: int, is_bound: bool,
    ) -> None:  # fmt: skip
        changes: dict[str, Any] = {"pool": f"@{job_id}"} if is_bound else {}
        job = submission(
            job_id, url, max_pages=max_pages, customer_id=customer, priority=priority,
            attempts=attempts, delay_ms=delay, max_duration_ms=duration, host_limit=limits[0],
            host_delay_ms=limits[1], **changes,
        )  # fmt: skip
        assert self.run(self.transitions.submit_jobs([job])) == [self.model.submit(job)]

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def act_on_a_job(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.model.jobs)))
        data.draw(st.sampled_from([self.cancel, self.pause, self.resume, self.retry]))(job_id)

    @precondition(lambda self: any(job.state in FINAL for job in self.model.jobs.values()))
    @rule(data=st.data(), failed_only=st.booleans())
    def act_on_an_ended_job(self, data: st.DataObject, failed_only: bool) -> None:
        ended = [job_id for job_id, job in self.model.jobs.items() if job.state in FINAL]
        job_id = data.draw(st.sampled_from(ended))
        if data.draw(st.integers(0, 3)):
            self.retry(job_id, failed_only)
        else:
            self.remove(job_id)

    def cancel(self, job_id: str) -> None:
        self._void(job_id)
        assert self.run(self.transitions.cancel_job(job_id)) == self.model.cancel(job_id)

    def pause(self, job_id: str) -> None:
        assert self.run(self.transitions.pause_job(job_id)) == self.model.pause(job_id)

    def resume(self, job_id: str) -> None:
        assert self.run(self.transitions.resume_job(job_id)) == self.model.resume(job_id)

    def retry(self, job_id: str, failed_only: bool = False) -> None:
        reply = self.run(self.transitions.retry_job(job_id, failed_only))
        assert reply == self.model.retry(job_id, failed_only)

    def remove(self, job_id: str) -> None:
        assert self.run(self.transitions.remove_job(job_id)) == self.model.remove(job_id)

    def pause_or_resume_queue(self) -> None:
        self.model.is_paused = not self.model.is_paused
        assert self.run(self.transitions.pause_queue(self.model.is_paused, POOLS))

    # -- time -----------------------------------------------------------------------------------

    @rule(data=st.data())
    def something_passes(self, data: st.DataObject) -> None:
        passing = [
            self.delays_pass, self.delays_pass, self.hosts_pass, self.hosts_pass,
            self.deadlines_pass, self.leases_expire, self.promote, self.pause_or_resume_queue,
        ]  # fmt: skip
        data.draw(st.sampled_from(passing))()

    def delays_pass(self) -> None:
        self.probe.pass_time(LONG_MS, "delayed")
        self.model.delays_pass()

    def hosts_pass(self) -> None:
        self.probe.pass_time(LONG_MS, "hosts")
        self.model.hosts_pass()

    def deadlines_pass(self) -> None:
        late = [
            job_id
            for job_id, job in self.model.jobs.items()
            if job.state == "active" and job.spec.max_duration_ms == HOUR_MS
        ]
        for job_id in late:
            self._void(job_id)
        self.probe.pass_time(LONG_MS, "deadlines")
        assert self.run(self.transitions.expire_jobs(16)) == len(late)
        self.model.expire(late)

    def promote(self) -> None:
        self.run(self.transitions.promote_delayed(64))
        self.model.promote()

    # -- workers --------------------------------------------------------------------------------

    @rule(
        number=st.integers(0, 3),
        pages=st.sampled_from([1, 2, 16]),
        slots=st.sampled_from([0, 1, 8]),
        ahead=st.sampled_from([0, 2]),
        spare=st.sampled_from([0, 1]),
        is_telling=st.booleans(),
    )
    def lease(
        self, number: int, pages: int, slots: int, ahead: int, spare: int, is_telling: bool
    ) -> None:
        worker = self.workers[number % self.worker_count]
        held = self._jobs_held_by(worker) if is_telling else []
        self._lease(worker, pages, slots, held, ahead, spare)

    def _lease(
        self, worker: str, pages: int, slots: int, held: Sequence[str] = (), ahead: int = 0,
        spare: int = 0,
    ) -> LeaseReply:  # fmt: skip
        self.requests += 1
        pools = POOLS_OF[worker]
        request = LeaseRequest(
            request_id=f"r{self.requests}", pages=pages, slots=slots, pools=pools, held=held,
            ahead=ahead, spare=spare,
        )  # fmt: skip
        reply = self.run(self.drivers[worker].transitions.lease_pages(worker, request, FOREVER_MS))
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
        return reply

    @precondition(lambda self: self.last_request)
    @rule(data=st.data())
    def repeat_lease(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.last_request)))
        request, tokens = self.last_request[worker]
        reply = self.run(self.drivers[worker].transitions.lease_pages(worker, request, FOREVER_MS))
        still = [token for token in tokens if token in self.model.held_by(worker)]
        assert [page.token for page in reply.pages] == still

    @precondition(lambda self: self.model.leases)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        held = self.model.held_by(worker)[:6]
        count = data.draw(st.integers(min(1, len(held)), len(held)))
        commits = [self._draw_commit(data, token) for token in held[:count]]
        if self.ended and data.draw(st.booleans()):
            commits.append(data.draw(st.sampled_from(self.ended)))
        if commits:
            self._commit(worker, commits)

    def _draw_commit(self, data: st.DataObject, token: str) -> PageCommit:
        lease = self.model.leases[token]
        outcome = data.draw(outcomes)
        url, links = lease.url, []
        if outcome is PageOutcome.DONE:
            url = data.draw(st.sampled_from([lease.url] * 3 + URLS))
            if self.model.jobs[lease.job].spec.max_pages > 1:
                links = data.draw(st.lists(st.sampled_from(URLS), max_size=4))
        return PageCommit(
            token, outcome, url, f'{{"url":"{lease.url}"}}'.encode(), "code",
            retry_delay_ms=HOUR_MS, links=links,
            host_pause_ms=data.draw(st.sampled_from([0, 0, 0, 0, HOUR_MS])),
        )  # fmt: skip

    def _commit(self, worker: str, commits: list[PageCommit]) -> None:
        replies = self.run(self.drivers[worker].transitions.commit_pages(worker, "{}", commits))
        assert replies == self.model.commit(worker, commits)
        self.ended = [*self.ended, *commits][-20:]

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), count=st.integers(1, 8))
    def replay_commits(self, data: st.DataObject, count: int) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self._commit(worker, self.ended[-count:])

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        tokens = [*self.model.held_by(worker)[:3], *(commit.token for commit in self.ended[-2:])]
        released = self.run(self.transitions.release_pages(worker, tokens))
        assert released == self.model.release(worker, tokens)

    @rule(number=st.integers(0, 3))
    def reclaim(self, number: int) -> None:
        worker = self.workers[number % self.worker_count]
        self.last_request.pop(worker, None)
        held = self.model.held_by(worker)
        assert self.run(self.transitions.reclaim_worker([worker])) == len(held)
        self.model.release(worker, held)

    def leases_expire(self) -> None:
        self.probe.pass_time(2 * FOREVER_MS, "workers")
        self.last_request.clear()
        assert self.run(self.transitions.reclaim_expired(16)) == len(self.model.leases)
        for worker in self.workers:
            self.model.release(worker, self.model.held_by(worker))

    @rule(number=st.integers(0, 3))
    def extend(self, number: int) -> None:
        worker = self.workers[number % self.worker_count]
        held = self._jobs_held_by(worker)
        reply = self.run(self.transitions.extend_leases(worker, FOREVER_MS, held))
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
        assert faults(snapshot) == []
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
                self.run(driver.redis.aclose())
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
        self._lease(worker, 16, 16)
        for token in self.model.held_by(worker):
            lease = self.model.leases[token]
            payload = f'{{"url":"{lease.url}"}}'.encode()
            self._commit(worker, [PageCommit(token, PageOutcome.DONE, lease.url, payload)])

    def _clean_up(self) -> None:
        """With its jobs and workers gone, a queue is empty but for its counters."""
        for job_id in list(self.model.jobs):
            self.remove(job_id)
        self.run(self.transitions.reclaim_worker(self.workers))
        self.probe.pass_time(LONG_MS, "delayed", "hosts")
        self.run(self.transitions.promote_delayed(1000))
        kept = {"meta", "totals", "virtual_time", "events"}
        left = {
            name: stored.value
            for name, stored in self.probe.snapshot().own.items()
            if name not in kept and not (name.startswith("host:") and stored.ttl_ms >= 0)
        }
        assert left == {}, left


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
    }
