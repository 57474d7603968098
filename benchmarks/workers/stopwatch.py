"""Times the work of this process, without its start-up, and leaves the report of it."""

import os
import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.plan import Report
from benchmarks.workers.tally import TallyCount


def cpu_s() -> float:
    """CPU time of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Stopwatch:
    """Counts records from `start` on; `write_report` ends it."""

    def __init__(self) -> None:
        self._count = TallyCount(is_crawl=os.environ["BENCH_MODE"] == "full-crawl")
        self.start()

    def start(self) -> None:
        """The work begins now."""
        self._cpu_before_s = cpu_s()
        self._started_s = time.monotonic()
        self._stopped: tuple[float, float] | None = None

    def stop(self) -> None:
        """The work is done; what follows (counting records) is not measured."""
        self._stopped = (cpu_s(), time.monotonic())

    def take(self, record: Mapping[str, Any]) -> None:
        """A page is done; `record` is a page record in the project's own form."""
        self._count.take(record)

    @property
    def pages(self) -> int:
        return self._count.pages

    def write_report(self, latencies_ms: Iterable[float] = ()) -> None:
        """Write the report to the file that BENCH_REPORT names."""
        cpu_now_s, now_s = self._stopped or (cpu_s(), time.monotonic())
        Report(
            pages=self._count.pages,
            cpu_s=cpu_now_s - self._cpu_before_s,
            wall_s=now_s - self._started_s,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            tally=self._count.as_dict(),
            latencies_ms=list(latencies_ms),
        ).write(Path(os.environ["BENCH_REPORT"]))
