"""Workers without a supervisor sleep longer than their lease: what they commit late is refused."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Sequence

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.figures import none_of, tell
from tests.support.processes import Process, running, wait_until
from tests.support.site import serve, tree

ROUNDS = by_scale(1, 10)
PAGES = 300
LEASE_S = 3
TIMES = {"LEASE": str(1000 * LEASE_S), "STALL_TIMEOUT": "2", "PARSE_LIMIT": "1"}


def stopped_with_pages(queue: QueueReader, workers: Sequence[Process]) -> tuple[Process, list[str]]:
    """Stop one of the workers while it holds pages; one may have leased all that there is."""
    for victim in itertools.islice(itertools.cycle(workers), 5000):
        victim.send_signal(signal.SIGSTOP)
        held = queue.leases(queue.instance_of(victim.pid))
        if held:
            return victim, held
        victim.send_signal(signal.SIGCONT)
    raise AssertionError("no worker held a page")


@pytest.mark.timeout(60 + 90 * ROUNDS)
def test_what_a_worker_commits_after_its_lease_is_refused(
    place: QueuePlace, queue: QueueReader
) -> None:
    held_in_all = 0
    with (
        serve(default=tree(PAGES, delay_s=0.1)) as site,
        running("scrapy", "work", env=place.env(**TIMES), count=2) as workers,
    ):
        for number in range(ROUNDS):
            job = f"round-{number}"
            queue.push(
                {"type": "full-crawl", "jobId": job, "url": f"{site.url}/0", "turboMode": True}
            )
            wait_until(lambda: queue.has_done(job, 40), 60, "the crawl runs")
            victim, held = stopped_with_pages(queue, workers)
            instance = queue.instance_of(victim.pid)
            wait_until(lambda: not queue.leases(instance), 60, "its lease ends")
            wait_until(lambda: queue.has_done(job, PAGES - len(held)), 60, "others go on")
            victim.send_signal(signal.SIGCONT)
            wait_until(lambda: queue.has_ended(job), 60, "the job ends")
            wait_until(lambda: queue.instance_of(victim.pid), 60, "it works again")
            held_in_all += len(held)
            queue.assert_whole(job, site.url, PAGES)
    repeated = site.hits.total() - ROUNDS * PAGES
    assert 0 <= repeated <= held_in_all
    tell(
        f"{ROUNDS} stops (SIGSTOP) longer than the lease, {held_in_all} pages in hand",
        none_of(ROUNDS * PAGES, "pages recorded twice or lost"), f"{repeated} fetched again",
    )  # fmt: skip
