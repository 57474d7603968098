"""A crawl as people write them: it follows links by Scrapy's own means, and its code has faults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scrapy.http import Response, TextResponse

from scraper.spiders.full_crawl import FullCrawlSpider

SETTING = "SPIDER_MODULES=tests.support.careless_spiders"


class CarelessCrawl(FullCrawlSpider):
    """`/fault` raises; of every other page each link is followed by `response.follow`."""

    follows_links = False

    def parse(self, response: Response, **kwargs: Any) -> Iterable[Any]:
        yield from super().parse(response)
        if response.url.endswith("/fault"):
            raise LookupError("no price here")
        assert isinstance(response, TextResponse)
        for link in response.css("a"):
            yield response.follow(link)
