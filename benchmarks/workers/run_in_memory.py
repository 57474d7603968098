"""The project's worker with its frontier in memory: one crawl, then a report."""

import os
from pathlib import Path
from typing import Any

from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.utils.project import get_project_settings

from benchmarks.workers.memory_frontier import MemoryFrontier
from benchmarks.workers.stopwatch import Stopwatch
from scraper.job_spider import JobSpider
from scraper.jobs import parse_job
from scraper.jobs.records import unpack_record
from scraper.scheduler import LeasedScheduler
from scraper.spiders.full_crawl import FullCrawlSpider
from scraper.worker import Worker


class MemoryWorker(Worker):
    """Leases from this process's own memory."""

    frontier: MemoryFrontier

    async def connect(self, spider: JobSpider) -> list[str]:
        pages = int(os.environ["BENCH_PAGES"])
        spec = parse_job(
            {
                "type": "full-crawl",
                "url": os.environ["BENCH_START_URL"],
                "maxPages": pages,
                "turboMode": os.environ["BENCH_PROFILE"] == "links",
            },
            job_types=("full-crawl",),
        )
        self.frontier = MemoryFrontier("job", spec.to_json(), spec.url, pages)
        return ["full-crawl"]

    @property
    def has_work(self) -> bool:
        return not self.is_stopping and not self.frontier.is_done


class MemoryScheduler(LeasedScheduler):
    worker_class = MemoryWorker


def main() -> None:
    os.environ["SCRAPY_SETTINGS_MODULE"] = "scraper.settings"
    settings = get_project_settings()
    settings.set("SCHEDULER", MemoryScheduler, priority="cmdline")
    process = CrawlerProcess(settings)
    crawler = process.create_crawler(FullCrawlSpider)
    watch: list[Stopwatch] = []

    def opened(**_: Any) -> None:
        watch.append(Stopwatch())

    def closed(**_: Any) -> None:
        # The clock stops at the first reading; counting records comes after it.
        [stopwatch] = watch
        stopwatch.stop()
        worker = crawler.engine.scheduler.worker  # type: ignore[union-attr]
        for record in worker.frontier.records:
            stopwatch.take(unpack_record(record))
        stopwatch.write_report()

    crawler.signals.connect(opened, signals.spider_opened, weak=False)
    crawler.signals.connect(closed, signals.spider_closed, weak=False)
    process.crawl(crawler)
    process.start()


if __name__ == "__main__":
    main()
    Path(os.environ["BENCH_REPORT"]).stat()
