"""The base of all job types: fetch a page of a job, record it, follow its links."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from scrapy import Spider
from scrapy.http import Response

from scraper import sitemaps
from scraper.extraction import (
    Anchors,
    ParsedPage,
    build_bare_record,
    build_record,
    content_hash,
    is_html,
    parse_page,
)
from scraper.extraction.limits import MAX_RECORDED_ANCHORS
from scraper.iso_time import iso_now
from scraper.jobs.job_arguments import job_arguments
from scraper.jobs.leases import ChargedLink, Filtered
from scraper.jobs.model import JobSpec
from scraper.lineage import PageWork, current_work
from scraper.network.responses import last_value
from scraper.scope import InvalidUrlError, Link, Suspicion
from scraper.scope.sitemaps import is_xml_sitemap

_T = TypeVar("_T")

# Reasons of which no sample is kept: there is no page behind them.
NOT_SAMPLED = frozenset({"scheme"})


class JobSpider(Spider):
    """A job type: a file in `scraper/spiders/` with one subclass whose `name` is the file's.

    Override `parse` to extract something else: yield items (they become the `items` of the page's
    record) and requests (pages of the same job, if they are in its scope). Call
    `yield from super().parse(response)` to have the usual record and links too.
    """

    # Methods that a request may name as its callback; `parse` always may.
    page_callbacks: ClassVar[frozenset[str]] = frozenset({"parse"})
    # Keys of request.meta that are stored with a page: plain JSON values.
    page_meta: ClassVar[frozenset[str]] = frozenset()
    follows_links: ClassVar[bool] = True

    def __init__(self, name: str | None = None, **arguments: Any) -> None:
        """`arguments`: the fields of a one-shot job (`-a url=... -a maxPages=50`)."""
        super().__init__(name)
        # scrapyd gives its job's id and version to every spider, also to one that is a worker.
        job_id = arguments.pop("_job", None)
        arguments.pop("_version", None)
        if arguments and job_id:
            arguments.setdefault("jobId", job_id)
        self.job_arguments = job_arguments(self.name, arguments) if arguments else {}
        self.pools: list[str] = json.loads(os.environ.get("WORKER_POOLS") or "[]") or [self.name]
        self.exit_code = 0
        self.emits_records = False

    async def start(self) -> AsyncIterator[Any]:
        """No start requests: pages come from the frontier."""
        nothing: tuple[Any, ...] = ()
        for request in nothing:
            yield request

    def current_work(self) -> PageWork:
        """The page that the running callback handles."""
        work = current_work.get()
        if work is None:
            raise RuntimeError("there is no page outside of a callback")
        return work

    def current_job(self) -> JobSpec:
        """The job of the page that the running callback handles."""
        return self.current_work().run.spec

    def parse(self, response: Response, **kwargs: Any) -> Iterable[Any]:
        """Record the page; add its links when this job type follows them."""
        work = self.current_work()
        content_type = _content_type(response)
        if is_html(content_type, response.body[:512]):
            work.record = self._html_record(response, work, content_type)
        elif (
            self.follows_links and work.run.spec.sitemaps != "skip" and _is_sitemap(response, work)
        ):
            self._take_sitemap(response, work, level=1)
            return ()
        else:
            work.record = bare_record(response, work)
        return (work.record,) if self.emits_records else ()

    def read_sitemap(self, response: Response, **kwargs: Any) -> Iterable[Any]:
        """Take the pages that a sitemap lists, within the job's scope."""
        work = self.current_work()
        level: int = response.meta[sitemaps.LEVEL]
        self._take_sitemap(response, work, level, response.meta.get(sitemaps.FIRST, 0))
        return ()

    def _take_sitemap(self, response: Response, work: PageWork, level: int, first: int = 0) -> None:
        urls = sitemaps.take_sitemap(response, work, level, first)
        depth = work.lease.depth + 1
        follow(work.run.resolver.resolve_links(work.final_url, urls, depth).links, depth, work)

    def _html_record(
        self, response: Response, work: PageWork, content_type: str | None
    ) -> dict[str, Any]:
        page = parse_page(
            response.body,
            response.url,
            content_type=content_type,
            profile=work.run.profile,
            extras=work.run.extras,
            content_language=_header(response, b"Content-Language"),
        )
        internal, external = self._add_links(page, work, _asks_not_to_follow(response))
        return build_record(
            page,
            html=response.text if work.run.spec.html and hasattr(response, "text") else None,
            internal_links=internal,
            external_links=external,
            **_facts(response, work, content_type),
        )

    def _add_links(
        self, page: ParsedPage, work: PageWork, has_nofollow: bool
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Hand the page's links to the frontier; its internal and external ones for the record.

        `has_nofollow`: the page's headers ask not to follow any.
        """
        resolver, hrefs, encoding = work.run.resolver, page.anchors.hrefs, page.encoding
        if not self.follows_links or work.run.spec.sitemaps == "only":
            targets = _from_base(page, work, lambda base: resolver.targets(base, hrefs, encoding))
            return _recorded_links(page.anchors, targets)
        depth = work.lease.depth + 1
        resolved = _from_base(
            page, work, lambda base: resolver.resolve_links(base, hrefs, depth, encoding)
        )
        unfollowed: Collection[Link] = ()
        if not work.run.follows_nofollow:
            is_whole_page = has_nofollow or page.nofollow
            unfollowed = _unfollowed(page.anchors.rels, resolved.targets, is_whole_page)
        follow(resolved.links, depth, work, unfollowed)
        # Where the page itself says that it, or what is to be read, is to be found.
        others = [url for url in (page.canonical, page.refresh) if url and url != work.final_url]
        if others:
            follow(resolver.resolve_links(work.final_url, others, depth).links, depth, work)
        if page.links_truncated:
            work.filtered.append(Filtered("too_many_links", 1, work.final_url))
        if resolved.dropped:
            work.filtered.append(Filtered("scheme", resolved.dropped))
        return _recorded_links(page.anchors, resolved.targets)


def _from_base(page: ParsedPage, work: PageWork, resolved: Callable[[str], _T]) -> _T:
    """What `resolved` makes of the page's base URL, or of its own URL where that is no page's."""
    try:
        return resolved(page.base_url)
    except InvalidUrlError:
        return resolved(work.final_url)


def follow(
    links: Iterable[Link], depth: int, work: PageWork, unfollowed: Collection[Link] = ()
) -> None:
    """Hand links, found `depth` away from the start, to the frontier or to the count of those that
    are left out; `unfollowed` of those that belong are, too."""
    known, filtered = work.run.known, work.run.filtered
    for link in links:
        if link.reason is not None or link in unfollowed:
            if link.url not in filtered:
                work.filtered.append(Filtered(link.reason or "nofollow", 1, link.url))
        elif known.get(link.url, depth + 1) > depth:
            if link.suspicion is None:
                work.links[link.url] = ""
            else:
                charge(link.url, link.suspicion, depth, work)


def charge(url: str, suspicion: Suspicion, depth: int, work: PageWork, extra: str = "") -> None:
    """Hand a link to the frontier of which the job takes a bounded number only."""
    limit = suspicion.limit(work.run.spec.max_pages_per_shape)
    work.charged[url] = ChargedLink(url, depth, suspicion.reason, suspicion.shape, limit, extra)


def _is_sitemap(response: Response, work: PageWork) -> bool:
    """A page that links led to is a sitemap."""
    return bool(work.lease.found_on) and is_xml_sitemap(response.body)


def _unfollowed(
    rels: Iterable[str | None], targets: Iterable[Link], is_whole_page: bool
) -> Collection[Link]:
    """The links that ask robots not to follow them, each time that the page has them."""
    if is_whole_page:
        return set(targets)
    asking = [rel is not None and "nofollow" in rel.split() for rel in rels]
    if not any(asking):
        return ()
    pairs = list(zip(targets, asking, strict=True))
    return {link for link, asks in pairs if asks} - {link for link, asks in pairs if not asks}


def _asks_not_to_follow(response: Response) -> bool:
    """The header says `nofollow` to all robots (not to one that it names)."""
    value = _header(response, b"X-Robots-Tag")
    if value is None:
        return False
    directives = {directive.strip() for directive in value.lower().split(",")}
    return not directives.isdisjoint(("nofollow", "none"))


def _recorded_links(
    anchors: Anchors, targets: Sequence[Link]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """{url, text, rel} of each distinct http link, by whether it stays on the job's site; of a page
    with very many, the first ones."""
    if len(targets) > MAX_RECORDED_ANCHORS:
        targets = targets[:MAX_RECORDED_ANCHORS]
    internal: list[dict[str, Any]] = []
    external: list[dict[str, Any]] = []
    seen: set[Link] = set()
    for link, text, rel in zip(targets, anchors.texts, anchors.rels, strict=False):
        if link in seen or not link.url:
            continue
        seen.add(link)
        entry: dict[str, Any] = {"url": link.url, "text": text}
        if rel:
            entry["rel"] = rel
        if link.internal:
            internal.append(entry)
        elif link.reason == "off_scope":
            external.append(entry)
    return internal, external


def _content_type(response: Response) -> str | None:
    return _header(response, b"Content-Type")


def _header(response: Response, name: bytes) -> str | None:
    value = last_value(response.headers, name)
    return value.decode("latin-1") if value else None


def _facts(response: Response, work: PageWork, content_type: str | None) -> dict[str, Any]:
    return {
        "url": work.final_url,
        "requested_url": work.lease.url,
        "status": response.status,
        "depth": work.lease.depth,
        "found_on": work.lease.found_on or None,
        "fetched_at": iso_now(),
        "content_type": content_type,
        "content_hash": content_hash(response.body),
        "body_bytes": len(response.body),
        "elapsed_ms": round((time.monotonic() - work.started_s) * 1000),
    }


def bare_record(response: Response, work: PageWork) -> dict[str, Any]:
    """The record of content that is not parsed."""
    return build_bare_record(**_facts(response, work, _content_type(response)))
