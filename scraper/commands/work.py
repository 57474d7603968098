"""`scrapy work`: the worker of all job types, which the supervisor starts."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand
from scrapy.utils.log import _uninstall_scrapy_root_handler

from scraper.job_spider import JobSpider
from scraper.jobs.config_loading import load_config
from scraper.jobs.job_types import job_types
from scraper.lineage import current_facts
from scraper.logs import configure_logs, quieten_scrapy

LOG_LEVEL = load_config().log_level
quieten_scrapy(LOG_LEVEL)


class WorkSpider(JobSpider):
    """Takes pages of every job type; each page is parsed by the spider of its job's type."""

    name = "work"

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.pools = json.loads(os.environ.get("WORKER_POOLS") or "[]") or sorted(job_types())


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = True
    default_settings: ClassVar[dict[str, Any]] = {}

    def short_desc(self) -> str:
        return "Work on the jobs of the queue until stopped"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.crawler_process is not None
        # Scrapy's own handler would be set up again with each crawler.
        _uninstall_scrapy_root_handler()
        name = os.environ.get("WORKER_ID", f"scrapy-{os.getpid()}").partition("#")[0]
        configure_logs(LOG_LEVEL, facts=lambda: {"worker": name, **current_facts()})
        crawler = self.crawler_process.create_crawler(WorkSpider)
        self.crawler_process.crawl(crawler)
        self.crawler_process.start()
        spider = crawler.spider
        failed = self.crawler_process.bootstrap_failed or spider is None
        self.exitcode = 1 if failed else getattr(spider, "exit_code", 0)
