"""What a page becomes: from a response or a failure to its commit (the table of outcomes)."""

from __future__ import annotations

import random

import orjson

from scraper.iso_time import iso_now
from scraper.jobs.config import Config
from scraper.jobs.leases import LeasedPage, PageCommit, PageOutcome
from scraper.jobs.records import pack_record
from scraper.lineage import PageWork
from scraper.network.failures import is_retryable

BACKOFF_FACTOR = 4
JITTER = 0.25
# A slow host is given so much time that about two of its pages are in flight (AutoThrottle's term).
TARGET_CONCURRENCY = 2
STRAINING_CODES = frozenset({"timeout", "reset", "refused", "truncated", "connection"})
PAUSING_STATUSES = frozenset({429, 503})
FAILING_HOSTS = 10_000


def _host(lease: LeasedPage) -> str:
    return lease.url.split("/", 3)[2]


class PageOutcomes:
    """Decides the outcome of pages by attempts, backoff and limits."""

    def __init__(self, config: Config) -> None:
        """The n-th retry of a page waits `page_backoff_ms` x 4^(n-1), jittered."""
        self._attempts = config.page_attempts
        self._backoff_ms = config.page_backoff_ms
        self._max_page_bytes = config.max_page_bytes
        self._slow_after_ms = config.host_slow_after_ms
        self._most_delay_ms = config.host_delay_max_ms
        self._first_pause_ms = config.host_backoff_ms
        # Hosts of which the last answer that this worker got was a page's first failure.
        self._failing: set[str] = set()

    def commit_of(self, work: PageWork) -> PageCommit:
        """The commit that ends this page's lease."""
        if work.failure is None and work.skip is None:
            payload = pack_record(work.record or {})
            if len(payload) <= self._max_page_bytes:
                return PageCommit(
                    token=work.lease.token,
                    outcome=PageOutcome.DONE,
                    url=work.final_url or work.lease.url,
                    payload=payload,
                    body_bytes=work.body_bytes,
                    host_strain_ms=self._strain_ms(work),
                    links=[f"{url} {extra}" if extra else url for url, extra in work.links.items()],
                    filtered=work.filtered,
                    charged=list(work.charged.values()),
                    leased_url=work.lease.url,
                )
            limit = f"{self._max_page_bytes:,} bytes (MAX_PAGE_RECORD)"
            work.fail("too_large", f"the record is larger than {limit}")
        if work.failure is None:
            code, text = work.skip or ("", "")
            return self._ended(work, PageOutcome.SKIPPED, code, text, note=work.skip_note)
        code, text = work.failure
        if is_retryable(code) and work.lease.attempt < self._attempts:
            return self._ended(work, PageOutcome.RETRY, code, text)
        return self._ended(work, PageOutcome.FAILED, code, text)

    def _ended(
        self, work: PageWork, outcome: PageOutcome, code: str, text: str, note: str = ""
    ) -> PageCommit:
        pause_ms = 0
        if work.status in PAUSING_STATUSES:
            asked_s = work.retry_after_s
            pause_ms = -self._first_pause_ms if asked_s is None else int(asked_s * 1000)
        is_sitemap = code == "sitemap"
        delay_ms = 0
        if outcome is PageOutcome.RETRY:
            delay_ms = self._retry_delay_ms(work)
        error = {
            "url": work.lease.url,
            "code": code,
            "message": text,
            "status": work.status or None,
            "attempt": work.lease.attempt,
            "depth": work.lease.depth,
            "foundOn": work.lease.found_on or None,
            "at": iso_now(),
        }
        return PageCommit(
            token=work.lease.token,
            outcome=outcome,
            url=work.final_url or work.lease.url,
            payload=orjson.dumps(error),
            code=f"{code} {note}" if note else code,
            retry_delay_ms=delay_ms,
            links=list(work.links) if is_sitemap else (),
            filtered=work.filtered if is_sitemap else (),
            charged=list(work.charged.values()) if is_sitemap else (),
            host_pause_ms=pause_ms,
            host_strain_ms=self._strain_ms(work, code),
            body_bytes=work.body_bytes,
            leased_url=work.lease.url,
        )

    def _strain_ms(self, work: PageWork, code: str = "") -> int:
        """What the fetch tells of its host: see PageCommit."""
        known_ms = work.lease.host_strain_ms
        strain_ms = 0
        if code in STRAINING_CODES or (work.status >= 500 and work.status not in PAUSING_STATUSES):
            if self._is_strained(work.lease):
                strain_ms = max(self._slow_after_ms, 2 * known_ms)
        elif work.latency_ms >= self._slow_after_ms:
            strain_ms = int(work.latency_ms / TARGET_CONCURRENCY)
        strain_ms = min(strain_ms, self._most_delay_ms)
        if strain_ms > 0:
            return strain_ms
        if self._failing and 200 <= work.status < 500:
            self._failing.discard(_host(work.lease))
        return -1 if known_ms and 200 <= work.status < 400 else 0

    def _is_strained(self, lease: LeasedPage) -> bool:
        """Whether a failure tells of the host: two pages in a row failed, neither for the second
        time. Else it is the page that is broken."""
        if lease.attempt > 1:
            return False
        host = _host(lease)
        if host in self._failing:
            return True
        if len(self._failing) >= FAILING_HOSTS:
            self._failing.clear()
        self._failing.add(host)
        return False

    def _retry_delay_ms(self, work: PageWork) -> int:
        backoff = self._backoff_ms * BACKOFF_FACTOR ** (work.lease.attempt - 1)
        backoff *= random.uniform(1 - JITTER, 1 + JITTER)
        return int(max(backoff, (work.retry_after_s or 0) * 1000))
