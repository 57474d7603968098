"""From measurements to one row of figures a contender."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.plan import Mode
from benchmarks.rounds import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one contender: medians over the measured rounds; None: does not apply.

    `ratio` and its range are the medians and extremes of the ratios to the baseline in the same
    round: of pages per calibrated CPU-second, or of latency, or of bytes.
    """

    contender: str
    rounds: int
    pages: int
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    pages_per_cpu_s: float | None
    pages_per_s: float | None
    peak_rss_mb: float | None
    latency_ms: float | None
    latency_p95_ms: float | None
    redis_cpu_s_per_1000: float | None
    redis_share_of_worker_cpu: float | None
    commands_per_page: float | None
    client_commands_per_page: float | None
    redis_peak_mb: float | None
    redis_bytes_per_url: float | None


def rows(measurements: Iterable[Measurement], mode: Mode, baseline: str) -> list[Row]:
    """One row a contender, in the order of their first runs."""
    by_contender: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        by_contender[measurement.contender].append(measurement)
    base = {m.round: _score(m, mode) for m in by_contender.get(baseline, [])}
    return [_row(name, runs, mode, base) for name, runs in by_contender.items()]


def _score(measurement: Measurement, mode: Mode) -> float:
    if mode is Mode.LATENCY:
        return measurement.median_latency_ms
    if mode is Mode.MEMORY:
        return _bytes_per_url(measurement)
    return measurement.pages_per_cpu_s


def _bytes_per_url(measurement: Measurement) -> float:
    return measurement.redis.data_bytes / measurement.report.pages if measurement.redis else 0.0


def _row(name: str, runs: Sequence[Measurement], mode: Mode, base: dict[int, float]) -> Row:
    timed = [run for run in runs if run.round > 0]
    ratios = [_score(run, mode) / base[run.round] for run in timed if base.get(run.round)]
    is_work = mode in {Mode.FULL_CRAWL, Mode.SINGLE_PAGE}
    redis = [run for run in timed if run.redis is not None]

    def typical(
        value: Callable[[Measurement], float], among: Sequence[Measurement]
    ) -> float | None:
        return statistics.median(map(value, among)) if among else None

    latencies = [ms for run in timed for ms in run.report.latencies_ms]
    return Row(
        contender=name,
        rounds=len(timed),
        pages=runs[0].report.pages,
        ratio=statistics.median(ratios) if ratios else None,
        ratio_low=min(ratios, default=None),
        ratio_high=max(ratios, default=None),
        pages_per_cpu_s=typical(lambda run: run.pages_per_cpu_s, timed) if is_work else None,
        pages_per_s=typical(_pages_per_s, timed) if is_work else None,
        peak_rss_mb=typical(lambda run: run.report.peak_rss_bytes / 1e6, timed)
        if is_work
        else None,
        latency_ms=statistics.median(latencies) if latencies else None,
        latency_p95_ms=statistics.quantiles(latencies, n=20)[-1] if len(latencies) > 1 else None,
        redis_cpu_s_per_1000=typical(_redis_cpu_s_per_1000, redis) if is_work else None,
        redis_share_of_worker_cpu=typical(_redis_share, redis) if is_work else None,
        commands_per_page=typical(_commands_per_page, redis) if is_work else None,
        client_commands_per_page=_client_commands_per_page(runs) if is_work else None,
        redis_peak_mb=typical(_redis_peak_mb, redis),
        redis_bytes_per_url=typical(_bytes_per_url, redis) if mode is Mode.MEMORY else None,
    )


def _pages_per_s(run: Measurement) -> float:
    return run.report.pages / run.report.wall_s if run.report.wall_s else 0.0


def _redis_cpu_s_per_1000(run: Measurement) -> float:
    assert run.redis is not None
    return 1000 * run.redis.cpu_s * run.speed / run.report.pages


def _redis_share(run: Measurement) -> float:
    assert run.redis is not None
    return run.redis.cpu_s / run.report.cpu_s if run.report.cpu_s else 0.0


def _commands_per_page(run: Measurement) -> float:
    assert run.redis is not None
    return run.redis.all_commands / run.report.pages


def _redis_peak_mb(run: Measurement) -> float:
    assert run.redis is not None
    return run.redis.peak_memory_bytes / 1e6


def _client_commands_per_page(runs: Sequence[Measurement]) -> float | None:
    for run in runs:
        if run.client_calls is not None:
            return sum(run.client_calls.values()) / run.report.pages
    return None
