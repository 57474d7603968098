"""Binds a worker that was started as `scrapy work` to the supervisor that holds its pipe."""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from scraper import lifeline


class Lifeline:
    """`scraper.lifeline` for workers that did not come through `python -m scraper`."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        if not lifeline.hold():
            raise NotConfigured
        return cls()
