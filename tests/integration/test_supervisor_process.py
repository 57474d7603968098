"""`supervisor run` as a process: signals, and deaths after which nobody is left behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.processes import ROOT, Process, kill_group, start, wait_until
from tests.support.site import serve, tree

GONE_WITHIN_S = 2.0
# Whoever waits for the end of one waits for longer than any test.
ENDLESS_LEASE = "600000"

queue = queue_reader


def workers_of(supervisor: Process) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(supervisor.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[-2:] == ["scrapy", "work"] and not is_gone(child):
                    found.append(child)
    return found


def is_gone(process: psutil.Process) -> bool:
    """Ended, whether or not somebody has reaped it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def crawl(queue: QueueReader, url: str) -> None:
    queue.push({"type": "full-crawl", "jobId": "job", "url": url})


def both_are_ready(queue: QueueReader) -> bool:
    return len(queue.workers()) == 2


@contextlib.contextmanager
def supervisor(place: QueuePlace, **env: str) -> Iterator[Process]:
    """A running service of two workers; whatever it leaves is a failure."""
    process = start("supervisor", "run", env=place.env(WORKER_COUNT="2", **env))
    workers: list[psutil.Process] = []
    try:
        yield process
        workers = workers_of(process)
    finally:
        kill_group(process)
        wait_until(lambda: all(map(is_gone, workers)), GONE_WITHIN_S, "its workers end")


def test_sigterm_drains_and_exits_with_0(place: QueuePlace, queue: QueueReader) -> None:
    with serve(default=tree(300, delay_s=0.05)) as site, supervisor(place) as service:
        wait_until(lambda: both_are_ready(queue), what="both workers are ready")
        crawl(queue, f"{site.url}/0")
        wait_until(lambda: site.hits.total() > 30, what="the crawl runs")
        workers = workers_of(service)
        service.send_signal(signal.SIGTERM)
        assert service.wait(40) == 0
        assert all(map(is_gone, workers))
        assert queue.workers() == []
        assert queue.counts("job")["leased"] == 0
        # Every page that was fetched is recorded: no attempt was charged or wasted.
        assert len(queue.recorded("job")) == site.hits.total()


def test_sigint_exits_with_130(place: QueuePlace, queue: QueueReader) -> None:
    with supervisor(place) as service:
        wait_until(lambda: both_are_ready(queue), what="both workers are ready")
        service.send_signal(signal.SIGINT)
        assert service.wait(40) == 130


def test_a_signal_during_the_start_ends_it(place: QueuePlace) -> None:
    with supervisor(place) as service:
        wait_until(lambda: workers_of(service), what="a worker is starting")
        service.send_signal(signal.SIGTERM)
        assert service.wait(40) == 0


def test_a_second_signal_kills_the_workers_and_their_leases_go_back(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=tree(300, delay_s=40)) as site, supervisor(place) as service:
        wait_until(lambda: both_are_ready(queue), what="both workers are ready")
        crawl(queue, f"{site.url}/0")
        wait_until(lambda: site.hits.total() == 1, what="a page is being fetched")
        workers = workers_of(service)
        service.send_signal(signal.SIGTERM)
        wait_until(lambda: len(workers_of(service)) == 1, 20, "the idle worker has ended")
        service.send_signal(signal.SIGTERM)
        assert service.wait(5) == 0
        assert all(map(is_gone, workers))
        counts = queue.counts("job")
        assert (counts["leased"], counts["queued"]) == (0, 1)
        assert queue.state("job") == "active"


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_takes_over_at_once(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=tree(300, delay_s=0.05)) as site:
        with supervisor(place, LEASE=ENDLESS_LEASE) as service:
            wait_until(lambda: both_are_ready(queue), what="both workers are ready")
            crawl(queue, f"{site.url}/0")
            wait_until(lambda: site.hits.total() > 60, what="the crawl runs")
            workers = workers_of(service)
            assert len(workers) == 2
            # The pipe cannot reach this one: nothing in it runs, as in an endless parse.
            workers[0].send_signal(signal.SIGSTOP)
            service.kill()
            wait_until(lambda: all(map(is_gone, workers)), GONE_WITHIN_S, "no orphan is left")
        assert len(queue.workers()) == 2  # the dead still hold their leases
        with supervisor(place, LEASE=ENDLESS_LEASE):
            wait_until(lambda: queue.state("job") == "completed", 60, "no lease is waited for")
    assert len(queue.recorded("job")) == len(set(queue.recorded("job"))) == 300


def test_workers_that_are_still_starting_die_with_their_supervisor(place: QueuePlace) -> None:
    with supervisor(place) as service:
        wait_until(lambda: len(workers_of(service)) == 2, what="the workers start")
        workers = workers_of(service)
        service.kill()
        wait_until(lambda: all(map(is_gone, workers)), GONE_WITHIN_S, "no orphan is left")


def test_sighup_replaces_the_workers_one_after_another(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=tree(400, delay_s=0.05)) as site, supervisor(place) as service:
        wait_until(lambda: both_are_ready(queue), what="both workers are ready")
        crawl(queue, f"{site.url}/0")
        wait_until(lambda: site.hits.total() > 20, what="the crawl runs")
        before = {worker.pid for worker in workers_of(service)}
        fewest = 2

        def is_replaced() -> bool:
            nonlocal fewest
            fewest = min(fewest, len(queue.workers()))
            now = {worker.pid for worker in workers_of(service)}
            return len(now) == 2 and not now & before and both_are_ready(queue)

        service.send_signal(signal.SIGHUP)
        wait_until(is_replaced, 60, "all are replaced")
        assert fewest == 1
        wait_until(lambda: queue.state("job") == "completed", 40, "the job completes")
    assert queue.counts("job")["failed"] == 0
    assert site.hits.total() == 400


def test_sigusr1_dumps_the_stacks_and_changes_nothing(
    place: QueuePlace, queue: QueueReader
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor", "run"], cwd=ROOT, text=True,
        env=place.env(WORKER_COUNT="1"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as service, contextlib.ExitStack() as stack:  # fmt: skip
        stack.callback(service.kill)
        # The worker asks for work before its supervisor knows of it.
        wait_until(lambda: "workerReady" in queue.events(), 60, "the supervisor knows its worker")
        service.send_signal(signal.SIGUSR1)
        assert service.stderr is not None
        said = ""
        while said.count("Current thread") < 2:  # its own, and its worker's
            said += service.stderr.readline()
        service.send_signal(signal.SIGTERM)
        _, more = service.communicate(timeout=40)
    assert service.returncode == 0
    assert "runners.py" in said + more
    assert "Traceback" not in more


def test_without_redis_it_exits_with_3_and_one_clear_line(place: QueuePlace) -> None:
    env = place.env() | {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    done = subprocess.run(
        [sys.executable, "-m", "supervisor", "run"], cwd=ROOT, env=env, capture_output=True,
        text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "out of reach" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
