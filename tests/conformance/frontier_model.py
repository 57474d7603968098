"""The queue as plain Python: what each transition must do, for the property tests to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from scraper.jobs.leases import Burial, CommitOutcome, LeasedPage, Pace, PageCommit, PageOutcome
from scraper.jobs.transitions import Submission

FINAL = {"completed", "failed", "cancelled"}
MAY_LEASE = {"waiting", "active"}
CHARGES = 3


def host_of(url: str) -> str:
    return url.split("/")[2]


@dataclass(slots=True)
class ModelPage:
    """`state` is the letter in Redis; `found_on` "" for the start page."""

    state: str
    depth: int
    found_on: str
    attempts: int = 0


@dataclass(slots=True)
class ModelJob:
    """A job. `left`: pages that were open when it ended; their state stays as it was.

    `suspects`: pages that were handled when a worker died, and how often they were alone then.
    """

    spec: Submission
    state: str
    pages: dict[str, ModelPage]
    paused_from: str = ""
    attempt: int = 0
    fetches: int = 0
    left: int = 0
    recorded: list[str] = field(default_factory=list)
    start_recorded: bool = False
    reason: str = ""
    suspects: dict[str, int] = field(default_factory=dict)

    @property
    def has_deadline(self) -> bool:
        """A bound job has one before it is active, too."""
        is_bound = self.spec.pool.startswith("@")
        return self.state == "active" or (is_bound and self.state in ("waiting", "delayed"))

    def urls(self, letters: str) -> list[str]:
        return [url for url, page in self.pages.items() if page.state in letters]

    def count(self, letters: str) -> int:
        return len(self.urls(letters))

    def failed_urls(self) -> list[str]:
        """Failed pages, and a start page that was skipped: what a retry runs again."""
        start = self.spec.start_url
        is_skipped = self.pages[start].state == "s" and not self.start_recorded
        return self.urls("f") + ([start] if is_skipped else [])

    def is_quarantined(self, url: str) -> bool:
        return self.pages[url].state == "f" and self.suspects.get(url, 0) >= CHARGES

    @property
    def fetch_bound(self) -> int:
        return 3 * self.spec.max_pages + 100

    @property
    def budget(self) -> int:
        """Pages that may be leased now."""
        by_pages = self.spec.max_pages - self.count("d") - self.count("l")
        return min(by_pages, self.fetch_bound - self.fetches)


@dataclass(frozen=True, slots=True)
class ModelLease:
    worker: str
    job: str
    url: str


class FrontierModel:
    """State and rules. Time passes only by `delays_pass` and `hosts_pass`."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.leases: dict[str, ModelLease] = {}
        self.resting_hosts: set[str] = set()
        self.spaced_hosts: set[str] = set()
        self.due_jobs: set[str] = set()
        self.due_pages: set[tuple[str, str]] = set()
        self.is_paused = False

    # -- submit, act on jobs --------------------------------------------------------------------

    def submit(self, spec: Submission) -> bool:
        if spec.job_id in self.jobs:
            return False
        state = "delayed" if spec.delay_ms else "waiting"
        pages = {spec.start_url: ModelPage("q", 0, "")}
        self.jobs[spec.job_id] = ModelJob(spec, state, pages)
        return True

    def cancel(self, job_id: str) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return ""
        before = job.state
        if before not in FINAL:
            self._finish(job_id, "cancelled", "cancelled")
        return before

    def pause(self, job_id: str) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return ""
        before = job.state
        if before not in FINAL and before != "paused":
            job.paused_from, job.state = before, "paused"
        return before

    def resume(self, job_id: str) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return ""
        if job.state == "paused":
            job.state, job.paused_from = job.paused_from, ""
        return job.state

    def retry(self, job_id: str, failed_only: bool) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return ""
        before = job.state
        if before == "delayed":
            self.due_jobs.discard(job_id)
            self._wake_job(job_id)
            return before
        if before not in FINAL:
            return before
        if job.count("d") >= job.spec.max_pages:
            return "nothing"
        runnable = job.urls("qwlo") if not failed_only else []
        failed = job.failed_urls()
        if not runnable and not failed:
            return "nothing"
        if failed_only:
            for url in job.urls("qwl"):
                job.pages[url].state = "o"
        else:
            job.left = 0
        self._requeue(job, runnable + failed)
        job.state, job.attempt, job.fetches, job.reason = "waiting", 0, 0, ""
        job.spec = replace(job.spec, pool=job.spec.type)
        return before

    def remove(self, job_id: str) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return ""
        if job.state in FINAL:
            del self.jobs[job_id]
        return job.state

    # -- time -----------------------------------------------------------------------------------

    def delays_pass(self) -> None:
        """Everything that is delayed now is due; `promote` makes it ready."""
        # A paused job keeps what is left of its delay.
        self.due_jobs |= {job_id for job_id, job in self.jobs.items() if job.state == "delayed"}
        self.due_pages = {
            (job_id, url)
            for job_id, job in self.jobs.items()
            if job.state not in FINAL
            for url in job.urls("w")
        }

    def hosts_pass(self) -> None:
        self.resting_hosts.clear()
        self.spaced_hosts.clear()

    def promote(self) -> None:
        """Wake what is due."""
        for job_id in sorted(self.due_jobs):
            if self.jobs[job_id].state == "delayed":
                self.due_jobs.discard(job_id)
                self._wake_job(job_id)
        for job_id, url in self.due_pages:
            job = self.jobs.get(job_id)
            if job and job.state not in FINAL and url in job.pages and job.pages[url].state == "w":
                job.pages[url].state = "q"
        self.due_pages.clear()

    def late_jobs(self, time_ms: int) -> list[str]:
        """Jobs whose time is over after `time_ms`."""
        return [
            job_id
            for job_id, job in self.jobs.items()
            if job.has_deadline and job.spec.delay_ms + job.spec.max_duration_ms <= time_ms
        ]

    def expire(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            self._finish(job_id, "failed", "timeout")

    # -- leases ---------------------------------------------------------------------------------

    def grant(self, worker: str, lease: LeasedPage, pools: Sequence[str]) -> Iterator[str]:
        """Take a granted lease over; yields what is wrong with it."""
        job = self.jobs.get(lease.job_id)
        if job is None:
            yield f"a page of the unknown job {lease.job_id}"
            return
        if self.is_paused:
            yield "a page although the queue is paused"
        if job.state not in MAY_LEASE:
            yield f"a page of a {job.state} job"
        if job.spec.pool not in pools:
            yield f"a page of pool {job.spec.pool} for a worker of {pools}"
        page = job.pages.get(lease.url)
        if page is None or page.state != "q":
            yield f"{lease.url} was leased, it is {page}"
            return
        if job.budget <= 0:
            yield "a page beyond the budget"
        host = host_of(lease.url)
        keeps_delay = job.spec.pace is Pace.NORMAL or job.spec.host_delay_ms
        if host in self.resting_hosts or (keeps_delay and host in self.spaced_hosts):
            yield f"a page of {host} before its time"
        others = [lease for lease in self.leases.values() if host_of(lease.url) == host]
        limits = sorted(self.jobs[other.job].spec.host_limit for other in others)
        for limit in {job.spec.host_limit, *limits}:
            in_flight = sum(other <= limit for other in limits)
            if limit >= job.spec.host_limit and in_flight >= limit:
                yield f"{in_flight + 1} pages of {host} in flight under limits up to {limit}"
        expected = (page.depth, page.attempts + 1, page.found_on)
        if (lease.depth, lease.attempt, lease.found_on) != expected:
            yield f"depth, attempt, found on of {lease}, expected {expected}"
        if lease.token in self.leases:
            yield f"the token {lease.token} a second time"
        if lease.is_suspect != (lease.url in job.suspects):
            yield f"{lease.url} is {lease.is_suspect=}, suspects are {job.suspects}"
        if job.state == "waiting":
            job.state = "active"
            job.attempt += 1
        page.state = "l"
        page.attempts += 1
        job.fetches += 1
        if job.spec.host_delay_ms:
            self.spaced_hosts.add(host)
        self.leases[lease.token] = ModelLease(worker, lease.job_id, lease.url)

    def held_by(self, worker: str) -> list[str]:
        """A worker's tokens, the oldest first."""
        return [token for token, lease in self.leases.items() if lease.worker == worker]

    def release(self, worker: str, tokens: Sequence[str]) -> int:
        released = 0
        for token in tokens:
            lease = self.leases.get(token)
            if lease is None or lease.worker != worker:
                continue
            del self.leases[token]
            job = self.jobs[lease.job]
            page = job.pages[lease.url]
            page.state = "q"
            page.attempts -= 1
            job.fetches -= 1
            released += 1
        return released

    def bury(self, worker: str, begun: Sequence[str]) -> Burial:
        """A worker died while it handled these pages."""
        held = self.held_by(worker)
        quarantined = []
        for token in [token for token in begun if token in held]:
            if token not in self.leases:
                continue  # its job ended by another page of these
            lease = self.leases[token]
            job = self.jobs[lease.job]
            if lease.url in job.suspects:
                job.suspects[lease.url] += len(begun) == 1
            else:
                job.suspects[lease.url] = 0
            if job.suspects[lease.url] >= CHARGES:
                del self.leases[token]
                job.pages[lease.url].state = "f"
                quarantined.append(lease.url)
                self._finish_if_done(lease.job)
            else:
                self.release(worker, [token])
        self.release(worker, self.held_by(worker))
        return Burial(len(held), quarantined)

    # -- commits --------------------------------------------------------------------------------

    def commit(self, worker: str, commits: Sequence[PageCommit]) -> list[CommitOutcome]:
        outcomes, touched = [], []
        for commit in commits:
            lease = self.leases.get(commit.token)
            if lease is None or lease.worker != worker:
                outcomes.append(CommitOutcome.LEASE_LOST)
                continue
            del self.leases[commit.token]
            if lease.job not in touched:
                touched.append(lease.job)
            if commit.host_pause_ms:
                self.resting_hosts.add(host_of(lease.url))
            job = self.jobs[lease.job]
            outcomes.append(self._end_page(job, lease.url, commit))
            if commit.outcome is not PageOutcome.RETRY:
                job.suspects.pop(lease.url, None)
            if commit.outcome is PageOutcome.DONE and outcomes[-1] is CommitOutcome.OK:
                job.suspects.pop(commit.url, None)
        for job_id in touched:
            self._finish_if_done(job_id)
        return outcomes

    def _end_page(self, job: ModelJob, url: str, commit: PageCommit) -> CommitOutcome:
        page = job.pages[url]
        if commit.outcome is PageOutcome.DONE:
            return self._record(job, url, page, commit)
        page.state = {"retry": "w", "failed": "f", "skipped": "s"}[commit.outcome.value]
        return CommitOutcome.OK

    def _record(
        self, job: ModelJob, url: str, page: ModelPage, commit: PageCommit
    ) -> CommitOutcome:
        if page.found_on == "":
            job.start_recorded = True
        target = job.pages.get(commit.url) if commit.url != url else None
        if target and target.state in "dal":
            page.state = "s"
            return CommitOutcome.DUPLICATE
        if target is None:
            page.state = "d"
            if commit.url != url:
                job.pages[commit.url] = ModelPage("a", page.depth, page.found_on, page.attempts)
        else:
            page.state = "s"
            if target.state == "o":
                job.left -= 1
            target.state = "d"
        job.recorded.append(commit.url)
        for link in commit.links:
            known = job.pages.get(link)
            if known is None:
                job.pages[link] = ModelPage("q", page.depth + 1, commit.url)
            elif known.state == "q":
                known.depth = min(known.depth, page.depth + 1)
        return CommitOutcome.OK

    # -- the ends of jobs -----------------------------------------------------------------------

    def _finish_if_done(self, job_id: str) -> None:
        job = self.jobs[job_id]
        leased = job.count("l")
        if job.count("qwl") == 0:
            reason = "finished"
        elif leased == 0 and job.count("d") >= job.spec.max_pages:
            reason = "max_pages"
        elif leased == 0 and job.fetches >= job.fetch_bound:
            reason = "attempt_limit"
        else:
            return
        if job.start_recorded:
            self._finish(job_id, "completed", reason)
        elif job.attempt >= job.spec.attempts or job.is_quarantined(job.spec.start_url):
            self._finish(job_id, "failed", "start_page" if reason == "finished" else reason)
        elif job.state == "paused":
            job.paused_from = "delayed"
        else:
            job.state = "delayed"

    def _finish(self, job_id: str, state: str, reason: str) -> None:
        job = self.jobs[job_id]
        self.leases = {t: lease for t, lease in self.leases.items() if lease.job != job_id}
        job.left += job.count("qwl")
        job.state, job.paused_from, job.reason = state, "", reason
        self.due_jobs.discard(job_id)

    def _wake_job(self, job_id: str) -> None:
        job = self.jobs[job_id]
        if job.attempt:
            self._requeue(job, [url for url in job.failed_urls() if not job.is_quarantined(url)])
            job.fetches = 0
        job.state = "waiting"

    def _requeue(self, job: ModelJob, urls: Sequence[str]) -> None:
        for url in urls:
            if job.is_quarantined(url):
                job.suspects[url] = 0
            job.pages[url].state = "q"
            job.pages[url].attempts = 0
