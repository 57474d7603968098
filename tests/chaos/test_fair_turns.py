"""One customer's thousands of jobs delay another's one job by a turn, not by thousands."""

from __future__ import annotations

import json

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until
from tests.support.site import html, serve

JOBS = by_scale(1_000, 10_000)
COMPLETED_FIRST = by_scale(200, 2_000)
TURNS = 200


@pytest.mark.timeout(by_scale(90, 600))
def test_one_job_of_another_customer_overtakes_thousands(
    place: QueuePlace, queue: QueueReader
) -> None:
    page = html(title="one page")
    fields = {"type": "single-page", "customerId": "many", "turboMode": True}
    with (
        serve(default=lambda path: page) as site,
        running("scrapy", "work", env=place.env(FINISHED_JOBS_KEPT="20000"), count=2),
    ):
        queue.push(*({**fields, "url": f"{site.url}/{n}"} for n in range(JOBS)))
        wait_until(lambda: completed(queue) >= COMPLETED_FIRST, 120, "the many are on their way")
        before = completed(queue)
        assert before < JOBS - TURNS
        one = {
            "type": "single-page",
            "customerId": "one",
            "turboMode": True,
            "jobId": "one",
            "url": site.url + "/one",
        }
        queue.push(one)
        wait_until(lambda: queue.state("one") == "completed", 60, "the one completes")
        overtaken_by = position(queue, "one") - before
        print(f"the one ended as number {overtaken_by} after its push, {JOBS - before} in front")
        assert overtaken_by <= TURNS
        wait_until(lambda: completed(queue) == JOBS + 1, 300, "all complete")
    assert max(site.hits.values()) == 1


def completed(queue: QueueReader) -> int:
    return int(queue.redis.zcard(f"{queue.prefix}jobs:completed"))


def position(queue: QueueReader, job_id: str) -> int:
    """Its place in the order of completion, by the event stream."""
    place = 0
    for _, event in queue.redis.xrange(f"{queue.prefix}events"):
        fields = {name.decode(): value.decode() for name, value in event.items()}
        if "workerCompleted" in fields.values():
            place += 1
            if job_id in fields.values():
                return place
    raise AssertionError(f"no workerCompleted of {job_id}: {json.dumps(fields)}")
