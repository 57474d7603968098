"""Plain Scrapy with this project's extraction and scope in place of Scrapy's own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.http import HtmlResponse, Response

from benchmarks.workers.spiders import FOLLOWS, IS_FULL, START_URL, MeasuredSpider, urls
from scraper.extraction import Profile, build_record, content_hash, parse_page
from scraper.scope import LinkResolver, Scope

PROFILE = Profile.FULL if IS_FULL else Profile.LINKS


class OwnExtractionSpider(MeasuredSpider):
    """Every link becomes a Request, as Scrapy is used; its dupefilter drops the known ones."""

    name = "own-extraction"
    allowed_domains = [urlsplit(START_URL).hostname]
    start_urls = urls()
    resolver = LinkResolver(Scope.for_job(START_URL))

    def parse(self, response: Response) -> Iterator[Any]:
        if not isinstance(response, HtmlResponse):
            return
        content_type = (response.headers.get(b"Content-Type") or b"").decode("latin-1")
        page = parse_page(response.body, response.url, content_type=content_type, profile=PROFILE)
        links = self.resolver.resolve_links(
            page.base_url, page.anchors.hrefs, 1, encoding=page.encoding
        )
        yield build_record(
            page,
            internal_links=[{"url": url} for url in links.internal()],
            external_links=[{"url": url} for url in links.external()],
            url=response.url,
            requested_url=response.meta.get("redirect_urls", [response.url])[0],
            status=response.status,
            depth=response.meta.get("depth", 0),
            found_on=None,
            fetched_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            content_type=content_type,
            content_hash=content_hash(response.body),
            body_bytes=len(response.body),
            elapsed_ms=round(1000 * response.meta.get("download_latency", 0)),
        )
        if FOLLOWS:
            for url in links.belonging():
                yield scrapy.Request(url, callback=self.parse)
