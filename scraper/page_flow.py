"""Binds what the engine does with a request to the page's lease, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from itemadapter import ItemAdapter
from scrapy import Request, signals
from scrapy.core.scraper import Scraper
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from scraper import sitemaps
from scraper.board import Board, PageMark
from scraper.codec import RequestNotAllowedError, apply_extra, request_extra
from scraper.job_run import JobRun
from scraper.job_spider import JobSpider, bare_record, charge
from scraper.jobs.leases import Filtered, LeasedPage
from scraper.jobs.measures import Measures
from scraper.lineage import PageWork, current_work, facts_of
from scraper.network.failures import (
    HostRestsError,
    LateStartError,
    RobotsDisallowedError,
    RobotsUnreachableError,
    failure_code,
    failure_text,
    is_retryable,
)
from scraper.network.requests import LEASE, START_AT, START_BY, TAKES_START, VERIFY_TLS
from scraper.network.retry_after import retry_after_s
from scraper.network.robots import LIFTED, origin_of
from scraper.parse_limit import ParseLimit, ParseLimitError
from scraper.scope import InvalidUrlError, canonical_url, resolve, suspect
from scraper.solitude import Solitude

logger = logging.getLogger(__name__)

Fetched = Response | Request | Failure
EngineStep = Callable[[Fetched, Request], "Deferred[None]"]

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


class EngineMismatchError(RuntimeError):
    def __init__(self, missing: str) -> None:
        super().__init__(
            f"this Scrapy has no {missing}: without it no page's end can be seen. "
            "Install the Scrapy version that requirements.txt pins"
        )


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """Of one page: the time of its callback, and how many redirects lead to it."""

    parse_s: float
    redirects: int


class PageFlow:
    """Follows each leased page through Scrapy's engine and tells when it is through.

    Scrapy has no signal for that. `_handle_downloader_output` is called exactly once for each
    request that was dequeued, and the Deferred that it returns fires when its callback, items and
    child requests are done (measured over 30 kinds of outcome): it is wrapped on this engine.
    """

    def __init__(
        self,
        crawler: Crawler,
        spider_of: Callable[[str], JobSpider],
        on_through: Callable[[PageWork], None],
        on_late: Callable[[PageWork], None],
        limits: FlowLimits,
        board: Board,
        measures: Measures,
    ) -> None:
        self._crawler = crawler
        self._spider_of = spider_of
        self._on_through = on_through
        self._on_late = on_late
        self._parse_limit = ParseLimit(limits.parse_s, self._begin, board.parsed)
        self._max_redirects = limits.redirects
        self._board = board
        self._measures = measures
        self._solitude = Solitude(asyncio.get_running_loop().call_soon)
        self._works: dict[Request, PageWork] = {}
        self._redirected: deque[Request] = deque()
        # By the methods that spiders allow as callbacks: a few.
        self._limited: dict[Callable[..., Any], Callable[..., Any]] = {}
        engine: Any = crawler.engine
        handle = getattr(engine, "_handle_downloader_output", None)
        if handle is None:
            raise EngineMismatchError("ExecutionEngine._handle_downloader_output")
        self._handle: EngineStep = handle
        self._scraper: Scraper = engine.scraper
        engine._handle_downloader_output = self._handle_output
        crawler.signals.connect(self._on_spider_error, signals.spider_error)
        crawler.signals.connect(self._on_item, signals.item_scraped)

    @property
    def in_flight(self) -> int:
        """Pages whose handling has not begun."""
        return len(self._works) + self._solitude.waiting

    def mark_of(self, request: Request) -> PageMark | None:
        """What shows a request's page on the board while it is worked on."""
        work = self._works.get(request)
        return self._board.mark(work.lease.token) if work is not None else None

    # -- from a lease to a request ------------------------------------------------------------

    def request_for(
        self, lease: LeasedPage, run: JobRun, window: tuple[float, float] | None = None
    ) -> Request:
        """The request that fetches a leased page; it begins in `window` (loop times) or not."""
        spider = self._spider_of(run.spec.type)
        callback, meta = apply_extra(lease.extra, spider)
        run_callback = self._limited.get(callback)
        if run_callback is None:
            run_callback = self._limited[callback] = self._parse_limit.limited(callback)
        meta["cookiejar"] = run.cookies
        # The frontier's URLs are canonical: Scrapy need not escape them again.
        meta["verbatim_url"] = True
        level = meta.get(sitemaps.LEVEL)
        if run.spec.own_site or (level == 0 and sitemaps.is_lifted(lease.url)):
            meta[LIFTED] = True
        if level is not None:
            meta["cuts_body"] = True
        if not run.spec.verify_tls:
            meta[VERIFY_TLS] = False
        if window is not None:
            meta[START_AT], meta[START_BY] = window
            meta[LEASE] = lease.token
        request = Request(lease.url, callback=run_callback, meta=meta, dont_filter=True)
        self._works[request] = PageWork(lease, run, sitemap_level=level)
        return request

    def _begin(self) -> None:
        """A callback is called. Not when its page's response came: others may be before it."""
        work = current_work.get()
        if work is not None and work.place is None:
            work.place = self._board.begin(work.lease.token)

    def next_redirected(self) -> Request | None:
        """A redirect's target, to be fetched under the same lease."""
        return self._redirected.popleft() if self._redirected else None

    @property
    def has_redirected(self) -> bool:
        return bool(self._redirected)

    # -- the end of a fetch -------------------------------------------------------------------

    def _handle_output(self, result: Fetched, request: Request) -> Deferred[None] | None:
        work = self._works.pop(request, None)
        if work is None:
            return self._handle(result, request)
        if (elapsed_ms := request.meta.get("elapsed_ms")) is not None:
            self._measures.fetch.observe(elapsed_ms / 1000)
        try:
            return self._follow(work, result, request)
        except Exception as error:
            self._give_up(work, error)
            return None

    def _give_up(self, work: PageWork, error: Exception) -> None:
        """Whatever a page brought about: it must end, or its lease and its place never would."""
        logger.error("a page could not be handled", exc_info=error, extra=facts_of(work))
        work.fail("internal", f"{type(error).__name__}: {error}")
        work.is_redirected = False
        self._end(work, None)

    def _follow(self, work: PageWork, result: Fetched, request: Request) -> Deferred[None] | None:
        if isinstance(result, Request):
            self._continue(work, result)
            return None
        if isinstance(result, Failure):
            if isinstance(result.value, LateStartError):
                self._on_late(work)
                return None
            self._note_failure(work, result)
            if request.errback is None:
                self._end(work, None)
                return None
        elif not self._wants_callback(work, result, request):
            self._end(work, result)
            return None
        if self._solitude.may_begin(work.lease.is_suspect):
            return self._call(work, result, request)
        through: Deferred[None] = Deferred()
        self._solitude.wait(
            work.lease.is_suspect, lambda: self._call_late(work, result, request, through)
        )
        return through

    def _call(self, work: PageWork, result: Response | Failure, request: Request) -> Deferred[None]:
        """Call the page's callback; a Deferred of the page's end."""
        self._solitude.begin(work.lease.is_suspect)
        token = current_work.set(work)
        try:
            deferred = self._scraper.enqueue_scrape(result, request)
        except BaseException:
            self._solitude.end()
            raise
        finally:
            current_work.reset(token)
        response = result if isinstance(result, Response) else None
        deferred.addBoth(lambda _: self._end_handled(work, response))
        return deferred

    def _call_late(
        self,
        work: PageWork,
        result: Response | Failure,
        request: Request,
        through: Deferred[None],
    ) -> None:
        try:
            self._call(work, result, request).chainDeferred(through)
        except Exception as error:
            self._give_up(work, error)
            through.callback(None)

    def _end_handled(self, work: PageWork, response: Response | None) -> None:
        try:
            self._end(work, response)
        finally:
            self._solitude.end()

    def _wants_callback(self, work: PageWork, response: Response, request: Request) -> bool:
        """Judge the status; True when the spider is to parse the response."""
        work.status = response.status
        work.body_bytes = len(response.body)
        work.latency_ms = int(request.meta.get("download_latency", 0) * 1000)
        if response.status in REDIRECT_STATUSES and response.headers.get(b"Location"):
            self._redirect(work, response, request)
            return False
        try:
            url = response.url
            work.final_url = work.lease.url if url == work.lease.url else canonical_url(url)
        except InvalidUrlError as error:
            work.fail("bad_response", str(error))
            return False
        is_start, site = not work.lease.found_on, work.run.site or work.lease.url
        # What the scope was made of belongs to it; to see that is cheaper than to ask.
        if is_start and work.final_url != site and work.run.scope.decide(work.final_url, 0):
            work.run.follow_site(work.final_url)
        if 200 <= response.status < 300:
            return True
        handled = getattr(self._spider_of(work.run.spec.type), "handle_httpstatus_list", ())
        if response.status in handled:
            return True
        code = f"http_{response.status}"
        if work.sitemap_level == 0 and response.status < 500 and not is_retryable(code):
            work.skip = ("no_sitemap", f"the server answered {response.status}")
            return False
        work.retry_after_s = retry_after_s(response.headers.get(b"Retry-After"))
        work.fail(code, f"the server answered {response.status}")
        return False

    def _redirect(self, work: PageWork, response: Response, request: Request) -> None:
        location = (response.headers.get(b"Location") or b"").decode("utf-8", "replace")
        try:
            target = work.run.scope.tidy(resolve(response.url, location))
        except InvalidUrlError as error:
            work.fail("bad_redirect", f"redirect to {location[:200]!r}: {error}")
            return
        is_start = not work.lease.found_on
        is_free = is_start or work.sitemap_level is not None
        reason = None if is_free else work.run.scope.decide(target, work.lease.depth)
        if reason is not None:
            work.final_url = target
            work.skip = (reason, f"redirected to {target}, which is out of the job's scope")
            return
        hops = int(request.meta.get("redirect_times", 0)) + 1
        if hops > self._max_redirects:
            problem = f"more than {self._max_redirects} redirects, last {target}"
            work.fail("too_many_redirects", problem)
            return
        # Without headers: what was meant for one host is not sent to the next.
        follow = request.replace(url=target, headers={}, cookies={})
        follow.meta["redirect_times"] = hops
        work.is_redirected = True
        self._continue(work, follow)

    def _continue(self, work: PageWork, request: Request) -> None:
        """Another request for the same page: fetched next, under the same lease."""
        for name in (START_AT, START_BY):
            request.meta.pop(name, None)
        # Of another host it is not known here whether it wants time between fetches.
        if work.lease.host_delay_ms or origin_of(request.url) != origin_of(work.lease.url):
            request.meta.update({LEASE: work.lease.token, TAKES_START: True})
        self._works[request] = work
        self._redirected.append(request)

    def _note_failure(self, work: PageWork, failure: Failure) -> None:
        error = failure.value or RuntimeError("the fetch failed without a reason")
        if isinstance(error, RobotsDisallowedError):
            work.skip = ("robots", failure_text(error))
            work.skip_note = error.line
        elif isinstance(error, IgnoreRequest):
            work.skip = ("ignored", failure_text(error))
        else:
            if isinstance(error, RobotsUnreachableError | HostRestsError):
                work.retry_after_s = error.retry_after_s
            work.fail(failure_code(error), failure_text(error))

    def _end(self, work: PageWork, response: Response | None) -> None:
        """The page is through, unless a redirect goes on with it."""
        if work.is_redirected:
            work.is_redirected = False
            return
        try:
            if work.failure is None and work.skip is None and response is not None:
                self._complete_record(work, response)
        except Exception as error:
            logger.exception("a record could not be built", extra=facts_of(work))
            work.fail("internal", f"{type(error).__name__}: {error}")
        self._on_through(work)
        if work.place is not None:
            self._board.end(work.place)

    def _complete_record(self, work: PageWork, response: Response) -> None:
        if work.record is None:
            work.record = bare_record(response, work)
        if not work.run.spec.verify_tls and response.url.startswith("https:"):
            work.record["tlsVerified"] = False
        if work.items:
            work.record["items"] = [ItemAdapter(item).asdict() for item in work.items]
        wants_sitemaps = not work.lease.found_on and work.run.spec.sitemaps != "skip"
        if wants_sitemaps and self._spider_of(work.run.spec.type).follows_links:
            sitemaps.add_sitemaps_of_site(work)

    # -- what callbacks yield -----------------------------------------------------------------

    def add_child(self, request: Request) -> bool:
        """A request that a callback yielded: a link of the page that is being parsed."""
        work = current_work.get()
        if work is None:
            logger.error("a request outside of any page is dropped: %s", request.url)
            return False
        spider = self._spider_of(work.run.spec.type)
        depth = work.lease.depth + 1
        try:
            url = work.run.scope.tidy(canonical_url(request.url))
            extra = request_extra(request, spider)
        except InvalidUrlError:
            work.filtered.append(Filtered("malformed", 1, request.url[:200]))
            return False
        except RequestNotAllowedError as error:
            work.fail("request_not_allowed", str(error))
            return False
        reason = work.run.scope.decide(url, depth)
        if reason is not None:
            work.filtered.append(Filtered(reason, 1, url))
            return False
        suspicion = suspect(url)
        if suspicion is None:
            work.links[url] = extra
        else:
            charge(url, suspicion, depth, work, extra)
        return True

    def _on_spider_error(self, failure: Failure, **_: Any) -> None:
        work = current_work.get()
        if work is not None:
            error = failure.value or RuntimeError("the callback failed without a reason")
            code = "parse_limit" if isinstance(error, ParseLimitError) else "parse_error"
            work.fail(code, failure_text(error))

    def _on_item(self, item: Any, **_: Any) -> None:
        work = current_work.get()
        if work is not None and item is not work.record:
            work.items.append(item)
