"""Runs the contenders in turn, round after round, and checks that each did the work."""

import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.command_monitor import client_commands
from benchmarks.contenders.contender import Contender
from benchmarks.errors import WrongWorkError
from benchmarks.plan import ExtractionProfile, Mode, Plan, Report
from benchmarks.redis_server import RedisFigures, redis_server
from benchmarks.sites.site import Site, Tally
from benchmarks.watch import Watch


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one contender.

    `speed` is the machine's during the run (1.0: the reference). `client_calls` is None but in the
    counting round, whose times mean nothing.
    """

    contender: str
    round: int
    report: Report
    speed: float
    redis: RedisFigures | None
    client_calls: dict[str, int] | None

    @property
    def pages_per_cpu_s(self) -> float:
        """Pages per calibrated CPU-second of the workers; 0 where none was measured."""
        cpu_s = self.report.cpu_s * self.speed
        return self.report.pages / cpu_s if cpu_s else 0.0

    @property
    def median_latency_ms(self) -> float:
        return statistics.median(self.report.latencies_ms) if self.report.latencies_ms else 0.0


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is run: the same for each contender."""

    mode: Mode
    profile: ExtractionProfile
    site: Site
    origin: str
    pages: int
    deadline_s: float

    @property
    def urls(self) -> list[str]:
        """As many URLs as `pages`, over and over the site's."""
        paths = self.site.paths
        return [self.origin + paths[at % len(paths)] for at in range(self.pages)]


def run_rounds(
    benchmark: Benchmark, contenders: Sequence[Contender], rounds: int
) -> Iterator[Measurement]:
    """First round 0, which counts commands, for those on Redis; then the measured ones.

    Contenders take turns (A B A B), every second round in reverse order, so that a slow drift of
    the machine favours none.
    """
    for contender in contenders:
        contender.prepare()
    if benchmark.mode in {Mode.FULL_CRAWL, Mode.SINGLE_PAGE}:
        for contender in contenders:
            if contender.needs_redis:
                yield run_once(benchmark, contender, 0)
    for number in range(1, rounds + 1):
        order = contenders if number % 2 else list(reversed(contenders))
        for contender in order:
            yield run_once(benchmark, contender, number)


def run_once(benchmark: Benchmark, contender: Contender, number: int) -> Measurement:
    """One run on a Redis of its own; raises WrongWorkError when the work was not done."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-run-")))
        server = stack.enter_context(redis_server()) if contender.needs_redis else None
        monitor = None
        if server is not None and number == 0:
            monitor = stack.enter_context(client_commands(server.url))
        urls_file = folder / "urls.txt"
        urls_file.write_text("\n".join(benchmark.urls) + "\n")
        plan = Plan(
            mode=benchmark.mode,
            profile=benchmark.profile,
            start_url=benchmark.origin + benchmark.site.paths[0],
            pages=benchmark.pages,
            urls_file=urls_file,
            redis_url=server.url if server else "",
            work_folder=folder,
        )
        log = folder / "output.log"
        log.touch()
        deadline_s = benchmark.deadline_s
        watch = stack.enter_context(Watch(contender.name, log, server, monitor, deadline_s))
        report = contender.run(plan, watch)
        watch.end()
        check_work(benchmark, contender.name, report)
        calls = dict(monitor.calls) if monitor else None
        speed = watch.gauge.speed
        return Measurement(contender.name, number, report, speed, watch.redis_figures, calls)


def check_work(benchmark: Benchmark, contender: str, report: Report) -> None:
    """Raises WrongWorkError unless all pages were recorded, with all that is on them."""
    if report.pages != benchmark.pages:
        raise WrongWorkError(contender, "pages", benchmark.pages, report.pages)
    if benchmark.mode is Mode.LATENCY and len(report.latencies_ms) != benchmark.pages:
        raise WrongWorkError(contender, "results", benchmark.pages, len(report.latencies_ms))
    site = benchmark.site
    # What is on some of the pages alone is not known.
    is_whole_site = benchmark.mode in {Mode.FULL_CRAWL, Mode.SINGLE_PAGE} and (
        benchmark.pages == len(site.paths)
    )
    if site.tally is None or not is_whole_site:
        return
    for name in Tally.keys_of(benchmark.profile):
        expected, found = getattr(site.tally, name), report.tally.get(name, 0)
        if found != expected:
            raise WrongWorkError(contender, name, expected, found)


def load_average() -> float:
    """The machine's one-minute load, printed beside the figures."""
    return os.getloadavg()[0]


def without_latencies(measurement: Measurement) -> Measurement:
    """The same, its latencies cut to the median, for a file of results."""
    report = replace(measurement.report, latencies_ms=[round(measurement.median_latency_ms, 2)])
    return replace(measurement, report=report)
