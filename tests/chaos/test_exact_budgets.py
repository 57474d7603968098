"""A budget of pages is met exactly, however many workers spend it."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until
from tests.support.site import serve, tree

RUNS = by_scale(8, 100)
MAX_PAGES = 50


@pytest.mark.timeout(by_scale(90, 600))
def test_max_pages_is_exact_each_time_with_four_workers(
    place: QueuePlace, queue: QueueReader
) -> None:
    fields = {"type": "full-crawl", "maxPages": MAX_PAGES, "turboMode": True}
    recorded: Counter[int] = Counter()
    with (
        serve(default=tree(5000)) as site,
        running("scrapy", "work", env=place.env(), count=4),
    ):
        for number in range(RUNS):
            job = f"run-{number}"
            fetched_before = site.hits.total()
            queue.push({**fields, "jobId": job, "url": f"{site.url}/0"})
            wait_until(partial(queue.has_ended, job), 60, f"{job} ends")
            assert queue.state(job) == "completed"
            queue.assert_exactly_once(job)
            queue.assert_conserved(job)
            recorded[len(queue.recorded(job))] += 1
            # Every page of this site is recorded: a fetch beyond the budget would be a page too.
            assert site.hits.total() - fetched_before == MAX_PAGES
    assert recorded == {MAX_PAGES: RUNS}
