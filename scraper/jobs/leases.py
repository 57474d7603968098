"""The values that travel between a worker and the queue: leases, commits, outcomes.

Those that are made for each page are tuples: a frozen dataclass takes four times as long to make.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class PageOutcome(enum.StrEnum):
    """What became of a leased page."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETRY = "retry"


class Pace(enum.StrEnum):
    """What a host wishes that binds a job. A limit and a pause (429, 503) bind each.

    NORMAL: Crawl-delay and the adaptive delay; TURBO: Crawl-delay only; OWN: neither.
    """

    NORMAL = "normal"
    TURBO = "turbo"
    OWN = "own"


class CommitOutcome(enum.StrEnum):
    """How the queue answered the commit of one page; none of them is an error."""

    OK = "ok"
    LEASE_LOST = "lost"
    DUPLICATE = "duplicate"
    JOB_FULL = "full"


class LeasedPage(NamedTuple):
    """A worker's right to fetch one page.

    `start_at_ms` is an epoch of the Redis clock: not to be fetched before it. `attempt` counts
    from 1. `found_on` is "" for the start page. `is_contended`: other jobs wait for this host.
    `extra` is what a custom spider attached (JSON), "" otherwise. `is_suspect`: a worker died while
    it handled this page; it is to be handled alone. `host_delay_ms` is the time between two starts
    that the host was given, 0 for none: then a late start does no harm. `host_strain_ms` is its
    adaptive delay, 0 when the host is well.
    """

    token: str
    job_id: str
    url: str
    depth: int
    attempt: int
    found_on: str
    start_at_ms: int
    is_contended: bool
    extra: str
    is_suspect: bool = False
    host_delay_ms: int = 0
    host_strain_ms: int = 0


class LeasedJob(NamedTuple):
    """What a worker must know of a job: its spec (JSON) and where its start page ended ("" yet).

    `seq` numbers accepted jobs: an id that was removed and used again has another one.
    """

    job_id: str
    spec: str
    site: str
    attempt: int
    customer_id: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a worker asks for. `request_id` makes a repeated call return the same pages.

    `slots`: jobs it may open now. `ahead`: jobs whose pages it may fetch ahead, when those that
    it holds have none. `spare`: jobs beyond the slots when it is another customer's turn.
    `horizon_ms`: a page may be due this much later than now.
    """

    request_id: str
    pages: int
    slots: int
    pools: Sequence[str]
    held: Sequence[str] = ()
    ahead: int = 0
    spare: int = 0
    horizon_ms: int = 200


@dataclass(frozen=True, slots=True)
class LeaseReply:
    """Pages to fetch. `next_due_ms`: when delayed work is due next (0: none known)."""

    now_ms: int
    next_due_ms: int
    pages: list[LeasedPage]
    jobs: list[LeasedJob]
    gone: list[str]


@dataclass(frozen=True, slots=True)
class Filtered:
    """Links of one page that do not belong to the job, by reason, with one of them as a sample."""

    reason: str
    times: int
    sample: str = ""

    @property
    def packed(self) -> str:
        """`<reason> <times>[ <sample>]`, as the commit takes it."""
        text = f"{self.reason} {self.times}"
        return f"{text} {self.sample}" if self.sample else text


@dataclass(frozen=True, slots=True)
class ChargedLink:
    """A link of a kind of which the job takes `limit` pages at most; further ones are left out.

    `shape` names the kind and `reason` why it is bounded, both without blanks. `extra` as in
    `LeasedPage`.
    """

    url: str
    depth: int
    reason: str
    shape: str
    limit: int
    extra: str = ""

    @property
    def packed(self) -> str:
        """`~<limit> <depth> <reason> <shape> <url>[ <extra>]`, as the commit takes it."""
        text = f"~{self.limit} {self.depth} {self.reason} {self.shape} {self.url}"
        return f"{text} {self.extra}" if self.extra else text


class PageCommit(NamedTuple):
    """The end of one lease. `payload` is the page record (DONE) or the error (else), as JSON.

    `url` is where the redirects ended; it is not sent when it is `leased_url`, the lease's ("": not
    told). `links` are canonical URLs, each optionally followed by a space and its extra.
    `retry_delay_ms` counts for RETRY; `host_pause_ms` stops all fetches of
    the host for that time (Retry-After), except for DONE. `code` of a SKIPPED page may be followed
    by a space and a note that stays with the page; one with links is a sitemap: these were found on
    it, and have no extra. A negative pause is the first of several that
    double, where the host did not say for how long. `host_strain_ms` says how the fetch went: the
    delay that a slow or failed answer calls for, -1 after a good one of a strained host, else 0.
    """

    token: str
    outcome: PageOutcome
    url: str
    payload: bytes
    code: str = ""
    retry_delay_ms: int = 0
    host_pause_ms: int = 0
    host_strain_ms: int = 0
    body_bytes: int = 0
    links: Sequence[str] = ()
    filtered: Sequence[Filtered] = ()
    charged: Sequence[ChargedLink] = ()
    leased_url: str = ""


class StartState(enum.StrEnum):
    """Whether a host lets one more request of a page start."""

    START = "start"
    RESTS = "rests"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Start:
    """When a further request of a page may start.

    `at_ms` (epoch, by the clock of Redis) is the start, 0 for at once; or until when its host rests
    (429, 503). `delay_ms` between two starts of the host, 0 for none. LOST: the page's lease is
    void.
    """

    state: StartState
    at_ms: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class RobotsClaim:
    """What the fleet knows of an origin's robots.txt.

    `stored` None: nobody has it. Then the caller is to fetch it (`is_ours`), or another worker
    does. `ttl_ms` is how long this holds.
    """

    is_ours: bool
    ttl_ms: int
    stored: bytes | None


@dataclass(frozen=True, slots=True)
class Extension:
    """`is_known` False: the worker was given up, all its leases are void."""

    is_known: bool
    gone: list[str]


@dataclass(frozen=True, slots=True)
class WorkerDeath:
    """A worker that ended though nobody asked it to.

    `begun`: tokens of the pages whose handling had begun. `evidence` is a JSON object; `exit` (how
    it ended, in words) and `at` (ISO 8601) are shown with a page that is quarantined.
    """

    instance: str
    evidence: str = "{}"
    begun: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Burial:
    """`pages` came back or ended; `quarantined` are URLs."""

    pages: int
    quarantined: list[str]
