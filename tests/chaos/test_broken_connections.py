"""Connections to Redis are cut, reset, half open or slow, and Redis itself is stopped for a while:
workers resume by themselves, none is stuck, nothing that was acknowledged is lost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.lasting_crawl import LastingCrawl, lasting_crawl
from tests.chaos.scale import by_scale, seeded
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.figures import tell, times
from tests.support.mortal_redis import MortalRedis, mortal_redis
from tests.support.processes import wait_until

STOPPED = "stopped"
# A command gives up after 5 s without an answer: in full, the silent ones last longer.
LASTS_S = {
    Fault.CUT: by_scale(0.5, 2.0), Fault.RESET: by_scale(0.5, 2.0), Fault.SLOW: by_scale(0.5, 5.0),
    Fault.SILENT: by_scale(1.0, 10.0), STOPPED: by_scale(1.0, 10.0),
}  # fmt: skip
ROUNDS = {
    Fault.CUT: by_scale(1, 20), Fault.RESET: by_scale(1, 20), Fault.SLOW: by_scale(1, 5),
    Fault.SILENT: by_scale(1, 5), STOPPED: by_scale(1, 5),
}  # fmt: skip


def passes(seconds: float) -> None:
    """A fault lasts so long: that is what is tried here."""
    until_s = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until_s, seconds + 5)


@contextmanager
def happens(fault: str, proxy: FaultProxy, server: MortalRedis) -> Iterator[None]:
    if fault == STOPPED:
        with server.stopped():
            yield
        return
    proxy.become(Fault(fault))
    yield
    proxy.become(Fault.NONE)


def resume_s(crawl: LastingCrawl) -> float:
    """How long after this moment a page is recorded again."""
    began_s, before = time.monotonic(), crawl.queue.done(crawl.job_id)
    wait_until(
        lambda: crawl.queue.done(crawl.job_id) > before or crawl.queue.has_ended(crawl.job_id),
        60, "the workers resume",
    )  # fmt: skip
    return time.monotonic() - began_s


@pytest.mark.timeout(by_scale(120, 1500))
def test_workers_resume_when_their_connections_to_redis_were_faulty(tmp_path: Path) -> None:
    rng, how_to_repeat = seeded()
    faults = [fault for fault, rounds in ROUNDS.items() for _ in range(rounds)]
    rng.shuffle(faults)
    resumed_s = defaultdict(list)
    with (
        mortal_redis(tmp_path / "redis") as server,
        fault_proxy(server.port) as proxy,
        lasting_crawl(proxy.url, server_url=server.url) as crawl,
    ):
        for fault in faults:
            crawl.go_on()
            with happens(fault, proxy, server):
                passes(LASTS_S[fault])
            resumed_s[fault].append(resume_s(crawl))
        crawl.go_on()
        figures = crawl.judge()
    tell(
        "faulty connections",
        *(f"{fault} for {LASTS_S[fault]:g} s: resumed after {times(resumed_s[fault])}"
          for fault in ROUNDS),
        *figures, how_to_repeat,
    )  # fmt: skip
