"""What a page becomes: from a response or a failure to its commit (the table of outcomes)."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import orjson

from scraper.jobs.leases import PageCommit, PageOutcome
from scraper.jobs.records import pack_record
from scraper.lineage import PageWork
from scraper.network.failures import is_retryable

BACKOFF_FACTOR = 4
JITTER = 0.25
PAUSING_STATUSES = frozenset({429, 503})


class PageOutcomes:
    """Decides the outcome of pages by attempts, backoff and limits."""

    def __init__(self, attempts: int, backoff_ms: int, max_page_bytes: int) -> None:
        """`attempts` in all for a page; the n-th retry waits `backoff_ms` x 4^(n-1), jittered."""
        self._attempts = attempts
        self._backoff_ms = backoff_ms
        self._max_page_bytes = max_page_bytes

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
                    links=[f"{url} {extra}" if extra else url for url, extra in work.links.items()],
                    filtered=work.filtered,
                )
            work.fail("too_large", f"the record is larger than {self._max_page_bytes} bytes")
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
        pause_s = work.retry_after_s if work.status in PAUSING_STATUSES else None
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
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return PageCommit(
            token=work.lease.token,
            outcome=outcome,
            url=work.final_url or work.lease.url,
            payload=orjson.dumps(error),
            code=f"{code} {note}" if note else code,
            retry_delay_ms=delay_ms,
            host_pause_ms=int((pause_s or 0) * 1000),
            body_bytes=work.body_bytes,
        )

    def _retry_delay_ms(self, work: PageWork) -> int:
        backoff = self._backoff_ms * BACKOFF_FACTOR ** (work.lease.attempt - 1)
        backoff *= random.uniform(1 - JITTER, 1 + JITTER)
        return int(max(backoff, (work.retry_after_s or 0) * 1000))
