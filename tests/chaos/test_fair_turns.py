"""One customer's thousands of jobs delay another's one job by a turn, not by thousands."""

from __future__ import annotations

import json

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until
from tests.support.site import html, serve, tree

JOBS = by_scale(1_000, 10_000)
COMPLETED_FIRST = by_scale(200, 2_000)
TURNS = 200
CRAWL_PAGES = by_scale(400, 1_500)


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


@pytest.mark.timeout(by_scale(90, 300))
def test_normal_crawl_has_its_turns_at_a_host_beside_a_turbo_crawl(
    place: QueuePlace, queue: QueueReader
) -> None:
    with (
        serve(default=tree(CRAWL_PAGES, delay_s=0.1)) as site,
        running("scrapy", "work", env=place.env(), count=2),
    ):
        crawl = {"type": "full-crawl", "url": f"{site.url}/0"}
        queue.push(
            {**crawl, "jobId": "turbo", "customerId": "one", "maxPages": 10**5, "turboMode": True}
        )
        wait_until(lambda: recorded(queue, "turbo") >= 50, 60, "the turbo crawl is on its way")
        before = recorded(queue, "turbo")
        queue.push({**crawl, "jobId": "normal", "customerId": "other", "maxPages": 20})
        wait_until(lambda: queue.state("normal") == "completed", 60, "the normal crawl ends")
        others = recorded(queue, "turbo") - before
        assert recorded(queue, "normal") == 20
        print(
            f"{others} pages of the turbo crawl ended meanwhile, at most {site.most_open} at once"
        )
        # In its 20 pages' time, 4 at once with 12 beside them: 60, and some while its first page
        # waits, is fetched and brings the links.
        assert others < CRAWL_PAGES / 2
        assert site.most_open <= 16
        wait_until(lambda: queue.state("turbo") == "completed", 200, "the turbo crawl ends")
    assert recorded(queue, "turbo") == CRAWL_PAGES


def recorded(queue: QueueReader, job_id: str) -> int:
    return int(queue.redis.llen(f"{queue.prefix}job:{job_id}:recorded"))


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
