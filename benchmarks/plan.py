"""What a contender is asked to do, and what it says that it did."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Mode(StrEnum):
    """The kinds of benchmark."""

    FULL_CRAWL = "full-crawl"
    SINGLE_PAGE = "single-page"
    LATENCY = "latency"
    MEMORY = "memory"


class ExtractionProfile(StrEnum):
    """What is taken from each page.

    LINKS: url, status, title, description, canonical, language, headings, openGraph, links.
    FULL: the same with the text, the images and the JSON-LD.
    """

    LINKS = "links"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of one contender.

    `pages`: pages to record (full crawl), jobs to do (single page, latency), URLs to make known
    (memory). `urls_file` has one URL a line, as many as `pages`, except in a full crawl.
    `redis_url` is that of an empty server of this run alone, or "" when none was asked for.
    """

    mode: Mode
    profile: ExtractionProfile
    start_url: str
    pages: int
    urls_file: Path
    redis_url: str
    work_folder: Path

    def environment(self) -> dict[str, str]:
        """The plan for a worker process, which writes its report to BENCH_REPORT."""
        return {
            "BENCH_MODE": self.mode,
            "BENCH_PROFILE": self.profile,
            "BENCH_START_URL": self.start_url,
            "BENCH_PAGES": str(self.pages),
            "BENCH_URLS_FILE": str(self.urls_file),
            "BENCH_REDIS_URL": self.redis_url,
            "BENCH_REPORT": str(self.report_file),
        }

    @property
    def report_file(self) -> Path:
        """Where a worker process leaves its report."""
        return self.work_folder / "report.json"


@dataclass(frozen=True, slots=True)
class Report:
    """What the workers of a contender did.

    `cpu_s` is the CPU time (user and system) of all worker processes from the first page on,
    without their start-up. `tally` counts what was extracted, over all pages; its keys are those of
    `benchmarks.sites.site.Tally`. `latencies_ms` are from push to result, fetch included.
    """

    pages: int
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int = 0
    tally: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> "Report":
        """The report that a worker process wrote as JSON, with these very names."""
        return cls(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        """Leave the report where `read` finds it."""
        file.write_text(json.dumps(asdict(self)))
