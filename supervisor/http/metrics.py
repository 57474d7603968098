"""What Prometheus is told: read out of Redis at each scrape, for the queue and the whole fleet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from scraper.jobs import JobQueue, QueueCounts
from scraper.jobs.backlog import Backlog, read_backlog
from scraper.jobs.measures import Histogram, Measured, read_measures
from scraper.jobs.version import VERSION
from supervisor.fleet_report import read_reports

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Readings:
    """All that one scrape tells. Times in s."""

    queue: str
    counts: QueueCounts
    backlog: Backlog
    measured: Measured
    reports: list[dict[str, Any]]
    redis_latency_s: float
    redis_memory: Mapping[str, int]
    oldest_waiting_s: float
    event_lag_s: float
    event_streams: int
    requests: Mapping[str, int]


async def read_all(
    queue: JobQueue, *, event_lag_s: float, event_streams: int, requests: Mapping[str, int]
) -> Readings:
    """Ask Redis. Raises redis-py's errors."""
    redis, keys = queue.redis, queue.transitions.keys
    before_s = time.perf_counter()
    await redis.ping()
    latency_s = time.perf_counter() - before_s
    memory = await redis.info("memory")
    oldest = await redis.zrange(keys.key("jobs:waiting"), 0, 0, withscores=True)
    seconds, microseconds = await redis.time()
    now_s = seconds + microseconds / 1e6
    return Readings(
        queue=queue.name,
        counts=await queue.reader.counts(),
        backlog=await read_backlog(redis, keys, sorted(queue.job_types)),
        measured=await read_measures(redis, keys),
        reports=await read_reports(queue),
        redis_latency_s=latency_s,
        redis_memory={name: int(memory.get(name, 0)) for name in ("used_memory", "maxmemory")},
        oldest_waiting_s=max(0.0, now_s - oldest[0][1] / 1000) if oldest else 0.0,
        event_lag_s=event_lag_s,
        event_streams=event_streams,
        requests=dict(requests),
    )


def render(readings: Readings) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(readings))
    return generate_latest(registry)


def render_down(queue: str) -> bytes:
    """What can be told while Redis does not answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Down(queue))
    return generate_latest(registry)


class _Down(Collector):
    def __init__(self, queue: str) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        yield _redis_up(self._queue, False)


def _redis_up(queue: str, is_up: bool) -> GaugeMetricFamily:
    up = GaugeMetricFamily(
        "scraper_redis_up", "1 while Redis answers this server.", None, ["queue"]
    )
    up.add_metric([queue], float(is_up))
    return up


class _Families(Collector):
    def __init__(self, readings: Readings) -> None:
        self._it = readings

    def collect(self) -> Iterable[Metric]:
        yield from self._of_queue()
        yield from self._of_measures()
        yield from self._of_redis()
        yield from self._of_fleet()
        yield from self._of_http()

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"scraper_{name}", text, None, ["queue"])
        family.add_metric([self._it.queue], value)
        return family

    def _gauges(
        self, name: str, text: str, label: str, values: Mapping[str, float]
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"scraper_{name}", text, None, ["queue", label])
        for key, value in values.items():
            family.add_metric([self._it.queue, key], value)
        return family

    def _counters(
        self, name: str, text: str, label: str, values: Mapping[str, float]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(f"scraper_{name}", text, None, ["queue", label])
        for key, value in values.items():
            family.add_metric([self._it.queue, key], value)
        return family

    def _counter(self, name: str, text: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(f"scraper_{name}", text, None, ["queue"])
        family.add_metric([self._it.queue], value)
        return family

    def _of_queue(self) -> Iterator[Metric]:
        it, totals = self._it, self._it.counts.totals
        yield self._gauge(
            "backlog_pages", "Pages that could be fetched now, were there enough workers.",
            it.backlog.pages,
        )  # fmt: skip
        yield self._gauge(
            "waiting_hosts", "Hosts whose pages wait for politeness.", it.backlog.waiting_hosts
        )
        yield self._gauges("jobs", "Jobs there are, by state.", "state", it.counts.by_state)
        yield self._gauge(
            "oldest_waiting_seconds", "Since when the oldest waiting job waits.",
            it.oldest_waiting_s,
        )  # fmt: skip
        yield self._gauge("queue_paused", "1 while the queue is paused.", it.counts.is_paused)
        yield self._counter(
            "jobs_submitted", "Jobs accepted since the queue began.",
            totals.get("jobs_submitted", 0),
        )  # fmt: skip
        ends = {
            name: totals.get(f"jobs_{name}", 0) for name in ("completed", "failed", "cancelled")
        }
        yield self._counters("jobs_finished", "Jobs that ended, by how.", "state", ends)
        yield self._counter(
            "pushes_rejected", "Raw pushes that were refused.", totals.get("pushes_rejected", 0)
        )
        yield self._counter(
            "leases_reclaimed", "Pages taken back from workers that ended.",
            totals.get("leases_reclaimed", 0),
        )  # fmt: skip
        yield self._counter(
            "pages_quarantined", "Pages given up since they killed workers.",
            totals.get("pages_quarantined", 0),
        )  # fmt: skip

    def _of_measures(self) -> Iterator[Metric]:
        measured = self._it.measured
        outcomes = dict.fromkeys(("done", "failed", "retry", "skipped"), 0) | dict(measured.pages)
        yield self._counters("pages", "Pages that workers ended, by outcome.", "outcome", outcomes)
        for name, text in (
            ("fetch", "Time of a fetch, until its body was there or it failed."),
            ("page", "Time of a page in a worker: fetch, redirects, parse."),
            ("wait", "Time that a leased page waited for its host's turn."),
            ("job", "Time of a job, from its first page to its end."),
        ):
            yield self._histogram(name, text, measured.histograms[name])

    def _histogram(self, name: str, text: str, counted: Histogram) -> HistogramMetricFamily:
        family = HistogramMetricFamily(f"scraper_{name}_seconds", text, labels=["queue"])
        total, buckets = 0, []
        for bound, count in zip((*counted.bounds, float("inf")), counted.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else f"{bound:g}", total))
        family.add_metric([self._it.queue], buckets, counted.sum_s)
        return family

    def _of_redis(self) -> Iterator[Metric]:
        it = self._it
        yield _redis_up(it.queue, True)
        yield self._gauge("redis_latency_seconds", "Time of one PING.", it.redis_latency_s)
        yield self._gauge(
            "redis_memory_bytes", "Memory that Redis uses.", it.redis_memory["used_memory"]
        )
        yield self._gauge(
            "redis_memory_limit_bytes", "maxmemory of Redis; 0: none.",
            it.redis_memory["maxmemory"],
        )  # fmt: skip
        yield self._gauge(
            "event_lag_seconds", "How late this server saw the newest event.", it.event_lag_s
        )

    def _of_fleet(self) -> Iterator[Metric]:
        labels = ["queue", "worker"]
        memory = GaugeMetricFamily(
            "scraper_worker_memory_bytes", "Memory of a worker.", None, labels
        )
        limit = GaugeMetricFamily(
            "scraper_worker_memory_limit_bytes", "What it may use.", None, labels
        )
        pages = GaugeMetricFamily("scraper_worker_pages", "Pages in its hands.", None, labels)
        restarts = CounterMetricFamily(
            "scraper_worker_restarts", "Times that it was started anew.", None, labels
        )
        states: dict[str, float] = {}
        healthy = GaugeMetricFamily(
            "scraper_supervisor_healthy", "1 when it finds nothing wrong.", None,
            ["queue", "supervisor"],
        )  # fmt: skip
        lag = GaugeMetricFamily(
            "scraper_supervisor_loop_lag_seconds", "Worst lag of its event loop in the last 2 s.",
            None, ["queue", "supervisor"],
        )  # fmt: skip
        for report in self._it.reports:
            if "loopLagMs" in report:
                lag.add_metric([self._it.queue, report["name"]], report["loopLagMs"] / 1000)
            if report.get("health"):
                healthy.add_metric(
                    [self._it.queue, report["name"]], float(report["health"]["healthy"])
                )
            for worker in report["workers"]:
                place = [self._it.queue, worker["id"]]
                states[worker["state"]] = states.get(worker["state"], 0) + 1
                pages.add_metric(place, worker["pages"])
                restarts.add_metric(place, worker["restarts"])
                limit.add_metric(place, worker["memoryLimitBytes"])
                if worker["memoryBytes"] is not None:
                    memory.add_metric(place, worker["memoryBytes"])
        yield self._gauges("workers", "Workers of all machines, by state.", "state", states)
        yield from (memory, limit, pages, restarts, healthy, lag)

    def _of_http(self) -> Iterator[Metric]:
        it = self._it
        yield self._counters("http_requests", "Answers of this server.", "status", it.requests)
        yield self._gauge("http_event_streams", "Event streams open here.", it.event_streams)
        info = InfoMetricFamily("scraper_build", "This version.")
        info.add_metric([], {"version": VERSION})
        yield info
