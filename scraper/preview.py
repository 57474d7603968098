"""Shows what a job would take: `python -m scraper.preview < job > findings`, JSON both ways.

Fetches the start page and some sitemaps as a worker does (address guard, robots.txt, delays,
limits) and reads them by the worker's own code, one after the other. No queue has a part in it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.settings import Settings
from scrapy.spiderloader import get_spider_loader

from scraper import sitemaps
from scraper.job_run import JobRun
from scraper.job_spider import JobSpider
from scraper.jobs.config import Config
from scraper.jobs.config_loading import load_config
from scraper.jobs.leases import LeasedJob, LeasedPage
from scraper.jobs.model import JobSpec
from scraper.lineage import PageWork, current_work
from scraper.network.errors import NetworkError
from scraper.network.failures import failure_text
from scraper.network.handler import PageDownloadHandler
from scraper.network.requests import VERIFY_TLS
from scraper.network.robots import LIFTED, RobotsGate, RobotsPolicy
from scraper.page_flow import REDIRECT_STATUSES
from scraper.scope import InvalidUrlError, canonical_url, resolve

DEADLINE_S: Final = 60.0
MOST_SITEMAPS: Final = 20
MOST_URLS: Final = 500


class _NoPageError(Exception):
    """What was fetched is no page; the text says why."""


class _Fetcher:
    """Fetches one URL after the other, by the rules that bind a worker."""

    def __init__(self, config: Config, crawler: Crawler, spec: JobSpec) -> None:
        self._handler = PageDownloadHandler(crawler)
        policy = RobotsPolicy(
            user_agent=config.sent_user_agent,
            ttl_s=config.robots_ttl_s,
            max_crawl_delay_s=config.crawl_delay_max_s,
            timeout_s=config.request_timeout_s,
        )
        fetch = self._handler.download_request
        self.gate = RobotsGate(policy, fetch, "preview", None) if config.robots_obey else None
        self._is_own_site = spec.own_site
        self._meta = {} if spec.verify_tls else {VERIFY_TLS: False}
        delay_ms = 0 if spec.own_site else config.host_delay_ms
        self._delay_s = max(delay_ms, spec.host_delay) / 1000
        self._max_redirects = config.max_redirects
        self._has_fetched = False

    async def fetch(self, url: str, meta: dict[str, Any]) -> Response:
        """The answer where redirects end. Raises NetworkError, _NoPageError."""
        for _ in range(self._max_redirects + 1):
            lifted = self._is_own_site or meta.get(LIFTED, False)
            request = Request(url, meta={**self._meta, **meta, LIFTED: lifted})
            delay_s = await self._admit(request)
            if self._has_fetched:
                await asyncio.sleep(delay_s)
            self._has_fetched = True
            response = await self._handler.download_request(request)
            response.request = request
            location = response.headers.get(b"Location")
            if response.status not in REDIRECT_STATUSES or not location:
                return response
            try:
                url = resolve(response.url, location.decode("utf-8", "replace"))
            except InvalidUrlError as error:
                raise _NoPageError(f"it redirects to no URL: {error}") from error
        raise _NoPageError(f"more than {self._max_redirects} redirects")

    async def _admit(self, request: Request) -> float:
        if self.gate is None:
            return self._delay_s
        waiting = self.gate.admit(request)
        if waiting is not None:
            await waiting
        if request.meta[LIFTED]:
            return self._delay_s
        return max(self._delay_s, self.gate.crawl_delay_s(request))

    def forbidding_line(self, url: str) -> str:
        """The line of robots.txt that forbids `url`, as far as that file was read; else ""."""
        if self.gate is None or self._is_own_site:
            return ""
        return self.gate.forbidding_line(Request(url, meta=dict(self._meta)))

    async def close(self) -> None:
        await self._handler.close()


@dataclass(slots=True)
class _Findings:
    """URLs with what the rules say of them, each once."""

    taken: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    urls: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, url: str, reason: str | None, why: str, times: int = 1) -> None:
        if reason is None:
            self.taken += 1
        else:
            self.left_out[reason] += times
        if url and len(self.urls) < MOST_URLS:
            self.urls[url] = {"url": url, "reason": reason, "why": why}

    def to_json(self) -> dict[str, Any]:
        return {
            "taken": self.taken,
            "leftOut": dict(sorted(self.left_out.items())),
            "urls": list(self.urls.values()),
        }


class _Preview:
    def __init__(self, spec: JobSpec, spider: JobSpider, fetcher: _Fetcher) -> None:
        self._uses_links = spec.sitemaps != "only" and spider.follows_links
        self._uses_sitemaps = spec.sitemaps != "skip" and spider.follows_links
        # Both are shown, whichever the job would use.
        shown = spec.model_copy(update={"sitemaps": "include"})
        self._run = JobRun(LeasedJob("preview", shown.to_json(), "", 1, spec.customer_id))
        self._spider = spider
        self._fetcher = fetcher
        self._shapes: Counter[str] = Counter()
        self._seen: set[str] = set()

    async def run(self) -> dict[str, Any]:
        url = canonical_url(self._run.spec.url)
        shown: dict[str, Any] = {"url": url, "finalUrl": None, "status": None, "problem": None}
        try:
            response = await self._fetcher.fetch(url, {})
        except (NetworkError, _NoPageError) as error:
            shown["problem"] = failure_text(error)
            return {**shown, **self._sections(_Findings(), _Findings(), [], 0)}
        shown |= {"finalUrl": canonical_url(response.url), "status": response.status}
        if not 200 <= response.status < 300:
            shown["problem"] = f"the server answered {response.status}"
            return {**shown, **self._sections(_Findings(), _Findings(), [], 0)}
        start = self._work(shown["finalUrl"])
        if self._run.scope.decide(start.final_url, 0) is not None:
            self._run.follow_site(start.final_url)
        self._read(start, response, self._spider.parse)
        links, listed = _Findings(), _Findings()
        self._judge(start, links)
        sitemaps.add_sitemaps_of_site(start)
        files, left = await self._read_sitemaps(start, listed)
        return {**shown, **self._sections(links, listed, files, left)}

    def _sections(
        self, links: _Findings, listed: _Findings, files: list[dict[str, Any]], left: int
    ) -> dict[str, Any]:
        return {
            "links": {"isUsed": self._uses_links, **links.to_json()},
            "sitemaps": {
                "isUsed": self._uses_sitemaps, "files": files, "filesUnread": left,
                **listed.to_json(),
            },
        }  # fmt: skip

    def _work(self, url: str, level: int | None = None) -> PageWork:
        found_on = "" if level is None else self._run.spec.url
        lease = LeasedPage("", "preview", url, 0, 1, found_on, 0, False, "")
        return PageWork(lease, self._run, final_url=url, sitemap_level=level)

    def _read(self, work: PageWork, response: Response, callback: Any) -> None:
        token = current_work.set(work)
        try:
            for _ in callback(response):
                pass
        finally:
            current_work.reset(token)

    def _judge(self, work: PageWork, findings: _Findings) -> None:
        """What the commit of this page would do with its links."""
        for item in work.filtered:
            why = self._run.scope.explain(item.sample, 1) if item.sample else ""
            if item.reason == "nofollow":
                why = "the page or the link asks robots not to follow it"
            if not item.sample or self._is_new(item.sample):
                findings.add(item.sample, item.reason, why, item.times)
        for url in work.links:
            if self._is_new(url):
                self._take(url, findings)
        for link in work.charged.values():
            if link.shape == sitemaps.SHAPE or not self._is_new(link.url):
                continue
            self._shapes[link.shape] += 1
            if self._shapes[link.shape] > link.limit:
                findings.add(link.url, link.reason, f"{link.limit} of its form are taken")
            else:
                self._take(link.url, findings)

    def _is_new(self, url: str) -> bool:
        is_new = url not in self._seen
        self._seen.add(url)
        return is_new

    def _take(self, url: str, findings: _Findings) -> None:
        line = self._fetcher.forbidding_line(url)
        if line:
            findings.add(url, "robots", f"robots.txt says `{line}`")
        else:
            findings.add(url, None, self._run.scope.explain(url, 1))

    async def _read_sitemaps(
        self, start: PageWork, findings: _Findings
    ) -> tuple[list[dict[str, Any]], int]:
        files: list[dict[str, Any]] = []
        waiting = deque(_sitemaps_of(start))
        known = {url for url, _ in waiting}
        while waiting and len(files) < MOST_SITEMAPS:
            url, meta = waiting.popleft()
            work = self._work(url, meta[sitemaps.LEVEL])
            problem = await self._read_sitemap(work, meta)
            if problem is None:
                continue
            files.append({"url": url, "outcome": problem})
            self._judge(work, findings)
            new = [it for it in _sitemaps_of(work) if it[0] not in known]
            known.update(url for url, _ in new)
            waiting.extend(new)
        return files, len(waiting)

    async def _read_sitemap(self, work: PageWork, meta: dict[str, Any]) -> str | None:
        """What came of it, in words; None for one that only was looked for."""
        url = work.lease.url
        is_looked_for = meta[sitemaps.LEVEL] == 0
        lifted = is_looked_for and sitemaps.is_lifted(url)
        try:
            response = await self._fetcher.fetch(url, {**meta, "cuts_body": True, LIFTED: lifted})
        except (NetworkError, _NoPageError) as error:
            return failure_text(error)
        if not 200 <= response.status < 300:
            is_none = is_looked_for and response.status < 500
            return None if is_none else f"the server answered {response.status}"
        work.final_url = canonical_url(response.url)
        self._read(work, response, self._spider.read_sitemap)
        _, text = work.failure or work.skip or ("", "")
        return text


def _sitemaps_of(work: PageWork) -> Iterable[tuple[str, dict[str, Any]]]:
    """The sitemaps that a page brought along, with the meta of their requests."""
    for link in work.charged.values():
        if link.shape == sitemaps.SHAPE:
            yield link.url, orjson.loads(link.extra)["meta"]


async def preview(spec: JobSpec, config: Config) -> dict[str, Any]:
    """What a job would take of its start page's links and of its site's sitemaps."""
    settings = Settings()
    settings.setmodule("scraper.settings")
    spider_class = get_spider_loader(settings).load(spec.type)
    assert issubclass(spider_class, JobSpider)
    fetcher = _Fetcher(config, Crawler(spider_class, settings), spec)
    try:
        return await _Preview(spec, spider_class(), fetcher).run()
    finally:
        await fetcher.close()


async def _main() -> dict[str, Any]:
    spec = JobSpec.from_stored(sys.stdin.buffer.read())
    async with asyncio.timeout(DEADLINE_S):
        return await preview(spec, load_config())


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(orjson.dumps(asyncio.run(_main())))
    except TimeoutError:
        sys.exit(f"the site takes longer than {DEADLINE_S:g} s")
