"""Plain Scrapy, frontier in memory: as its documentation teaches, and with our extraction."""

import sys
from typing import ClassVar

from benchmarks.contenders.contender import Contender
from benchmarks.plan import Mode, Plan, Report
from benchmarks.watch import Watch


class PlainScrapy(Contender):
    """Default settings, LinkExtractor, selectors, one process."""

    name: ClassVar[str] = "scrapy"
    title: ClassVar[str] = "Scrapy as documented, in memory"
    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.FULL_CRAWL, Mode.SINGLE_PAGE})
    needs_redis: ClassVar[bool] = False
    spider: ClassVar[str] = "documented"

    def run(self, plan: Plan, watch: Watch) -> Report:
        watch.begin()
        watch.complete(
            [sys.executable, "-m", "benchmarks.workers.run_scrapy", self.spider],
            plan.environment(),
        )
        watch.end()
        return Report.read(plan.report_file)


class ScrapyWithOwnExtraction(PlainScrapy):
    """The same, but `scraper.extraction` and `scraper.scope` in place of Scrapy's own."""

    name = "scrapy-own-extraction"
    title = "Scrapy with our extraction, in memory"
    spider = "own-extraction"
