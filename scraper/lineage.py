"""Which leased page is being worked on: bound to each callback, its items and its links."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scraper.jobs.leases import ChargedLink, Filtered, LeasedPage

if TYPE_CHECKING:
    from scraper.job_run import JobRun


@dataclass(slots=True, eq=False)
class PageWork:
    """One leased page on its way through the worker: what was found, what went wrong.

    `links` maps each new canonical URL to its extra ("" for none), `charged` the URLs of which a
    job takes a bounded number to what is charged. `failure` is a code of `design.md` §9 and a text.
    `place` is where the worker's board shows it, None while its handling has not begun.
    `sitemap_level` is None for all but sitemaps. `skip_note` is what stays with a skipped page: the
    line of robots.txt.
    """

    lease: LeasedPage
    run: JobRun
    started_s: float = field(default_factory=time.monotonic)
    final_url: str = ""
    status: int = 0
    body_bytes: int = 0
    record: dict[str, Any] | None = None
    items: list[Any] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    charged: dict[str, ChargedLink] = field(default_factory=dict)
    filtered: list[Filtered] = field(default_factory=list)
    failure: tuple[str, str] | None = None
    skip: tuple[str, str] | None = None
    skip_note: str = ""
    retry_after_s: float | None = None
    latency_ms: int = 0
    is_redirected: bool = False
    sitemap_level: int | None = None
    place: int | None = None

    def fail(self, code: str, text: str) -> None:
        """The page can't be recorded; the first reason counts."""
        if self.failure is None:
            self.failure = (code, text)


# Not request.meta: redirects, retries and `meta=response.meta` copy that (facts.md).
current_work: ContextVar[PageWork | None] = ContextVar("current_work", default=None)


def facts_of(work: PageWork) -> dict[str, str]:
    """What a log line about a page says besides."""
    spec = work.run.spec
    return {"job": work.lease.job_id, "customer": spec.customer_id, "url": work.lease.url}


def current_facts() -> dict[str, str]:
    """The same of the page that is being worked on; nothing outside of any."""
    work = current_work.get()
    return facts_of(work) if work else {}
