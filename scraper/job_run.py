"""A job as one worker knows it: its options, its scope, the links that it has seen."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from scraper.extraction import Extras, Profile
from scraper.jobs.leases import LeasedJob
from scraper.jobs.model import JobSpec
from scraper.network.middlewares import JobCookies
from scraper.scope import LinkResolver, Scope, scope_of

if TYPE_CHECKING:
    from scraper.lineage import PageWork

KNOWN_URLS_KEPT = 200_000
LINKS_REMEMBERED = 100_000


@lru_cache(maxsize=64)
def _site(origin: str) -> tuple[Scope, LinkResolver]:
    scope = Scope.for_job(origin)
    return scope, LinkResolver(scope, capacity=20_000)


def _site_of(url: str) -> tuple[Scope, LinkResolver]:
    """What single pages of one site share: their links are resolved, but not followed."""
    # A job's URL is in its normal form: the first "/" behind "https://" ends the host.
    return _site(url[: url.index("/", 8) + 1])


class JobRun:
    """One job in one worker; holds nothing that cannot be lost.

    `known` maps canonical URLs that the frontier has for certain (the commit that carried them
    was answered) to the depth that they were given: such links are not sent again.
    """

    def __init__(self, job: LeasedJob) -> None:
        self.job_id = job.job_id
        self.customer_id = job.customer_id
        self.spec = JobSpec.from_stored(job.spec)
        self.attempt = job.attempt
        self.seq = job.seq
        self.site = job.site
        self.profile = Profile.LINKS if self.spec.turbo_mode else Profile.FULL
        self.extras = Extras(
            product=self.spec.ecommerce_mode, main_content=self.spec.ai_optimization
        )
        self.known: dict[str, int] = {}
        self.filtered: set[str] = set()
        self.follows_nofollow = self.spec.follow_nofollow or self.spec.own_site
        # Its own, so that jobs share none; it ends with what this worker knows of the job.
        self.cookies = JobCookies()
        self._set_scope()

    def _set_scope(self) -> None:
        spec = self.spec
        if self.is_single_page:
            self.scope, self.resolver = _site_of(self.site or spec.url)
            return
        self.scope = scope_of(spec, self.site)
        self.resolver = LinkResolver(self.scope, capacity=LINKS_REMEMBERED)

    def update(self, job: LeasedJob) -> None:
        """Take what changed since: where the start page ended, the attempt."""
        if job.site != self.site:
            self.site = job.site
            self._set_scope()
        if job.attempt != self.attempt:
            self.attempt = job.attempt
            # A second attempt starts without the cookies of the first.
            self.cookies = JobCookies()
            self.forget_known()

    def follow_site(self, url: str) -> None:
        """The start page redirected to `url`: its host is the job's site from now on."""
        self.site = url
        self._set_scope()

    @property
    def is_single_page(self) -> bool:
        return (self.spec.max_pages or 1) == 1

    def remember(self, work: PageWork) -> None:
        """The commit of this page was answered: the frontier has its links."""
        if len(self.known) + len(work.links) > KNOWN_URLS_KEPT:
            self.known.clear()
        self.known.update(dict.fromkeys(work.links, work.lease.depth + 1))
        if work.charged:
            self.known.update((link.url, link.depth) for link in work.charged.values())
        if len(self.filtered) > KNOWN_URLS_KEPT:
            self.filtered.clear()
        self.filtered.update(item.sample for item in work.filtered if item.sample)

    def forget_known(self) -> None:
        """What the frontier has is not certain any more: send links again."""
        self.known.clear()
