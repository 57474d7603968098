"""`scrapy crawl`: Scrapy's own command, with the job's outcome as its exit code."""

from __future__ import annotations

import argparse

from scrapy import Spider
from scrapy.commands.crawl import Command as CrawlCommand
from scrapy.crawler import Crawler

from scraper.jobs.config_loading import load_config
from scraper.logs import quieten_scrapy, route_structlog

quieten_scrapy(load_config().log_level)
route_structlog()


class Command(CrawlCommand):
    """A worker of one type; with `-a url=...` one job, which ends the process."""

    _made: Crawler | None = None

    def _create_crawler(self, spidercls: type[Spider] | str) -> Crawler:
        self._made = super()._create_crawler(spidercls)
        return self._made

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        super().run(args, opts)
        if not self.exitcode and self._made is not None:
            self.exitcode = getattr(self._made.spider, "exit_code", 0)
