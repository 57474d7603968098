"""429 and slow answers: the host is given its time, and no page is lost for that."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

from scraper.jobs.pace import JobPace
from scraper.jobs.transitions import Transitions
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.processes import running, wait_until
from tests.support.queue_driver import strict_client
from tests.support.site import Answer, html, serve

queue = queue_reader


async def held_up_by(place: QueuePlace) -> str:
    """What the queue says holds the job up."""
    client = strict_client(place.url)
    try:
        text = await Transitions(client, place.name).job_pace("job")
    finally:
        await client.aclose()
    return JobPace.from_json(text).reason if text else "it has ended"


class Refusing:
    """Answers 429 once `after` pages were served, for `rest_s`; then all is well again."""

    def __init__(self, after: int, rest_s: float, headers: dict[str, str]) -> None:
        self.after, self.rest_s, self.headers = after, rest_s, headers
        self.served = 0
        self.refused: list[float] = []
        self.lock = threading.Lock()

    def __call__(self, path: str) -> Answer:
        with self.lock:
            is_resting = self.refused and time.monotonic() < self.refused[0] + self.rest_s
            if self.served >= self.after and (not self.refused or is_resting):
                self.refused.append(time.monotonic())
                return Answer(status=429, headers=self.headers)
            self.served += 1
        return html(*(f"/{number}" for number in range(40)))


def test_no_request_comes_in_the_time_of_retry_after_and_no_page_is_lost(
    place: QueuePlace, queue: QueueReader
) -> None:
    answers = Refusing(10, 8.0, {"Retry-After": "8"})
    with serve(default=answers) as site, running("scrapy", "work", env=place.env(), count=2):
        queue.push({"type": "full-crawl", "url": f"{site.url}/", "jobId": "job"})
        wait_until(lambda: answers.refused, 60, "the site refuses")
        wait_until(lambda: queue.counts("job")["delayed"], 60, "the refusal is noted")
        reason = asyncio.run(held_up_by(place))
        wait_until(lambda: queue.has_ended("job"), 40, "the job ends")
    assert queue.state("job") == "completed"
    assert queue.done("job") == 41
    assert queue.errors("job") == {}
    # What was on its way when the first refusal came could not know; nothing after that.
    rest_began_s = answers.refused[0]
    in_the_rest = [at for at, _ in site.times if rest_began_s + 0.5 < at < rest_began_s + 7.9]
    assert in_the_rest == []
    assert len(answers.refused) <= 4
    assert reason == "host_pause"


def test_without_retry_after_the_host_rests_and_is_asked_again(
    place: QueuePlace, queue: QueueReader
) -> None:
    answers = Refusing(5, 1.2, {})
    with serve(default=answers) as site, running("scrapy", "work", env=place.env()):
        queue.push({"type": "full-crawl", "url": f"{site.url}/", "jobId": "job"})
        wait_until(lambda: queue.has_ended("job"), 40, "the job ends")
    assert queue.state("job") == "completed"
    assert queue.done("job") == 41
    # Four at once, then (1 s later) four again at the most; never in between.
    assert len(answers.refused) <= 8
    times = sorted(at for at, _ in site.times)
    assert max(after - before for before, after in itertools.pairwise(times)) > 0.7


def test_a_slow_host_is_fetched_from_less_often_and_its_job_says_so(
    place: QueuePlace, queue: QueueReader
) -> None:
    def slow(path: str) -> Answer:
        page = html(*(f"/{number}" for number in range(40)))
        page.delay_s = 0.4
        return page

    with (
        serve(default=slow) as site,
        running("scrapy", "work", env=place.env(HOST_SLOW_AFTER="200")),
    ):
        queue.push({"type": "full-crawl", "url": f"{site.url}/", "jobId": "job"})
        wait_until(lambda: queue.done("job") >= 4, 60, "some pages are done")
        reason = asyncio.run(held_up_by(place))
        wait_until(lambda: queue.has_ended("job"), 40, "the job ends")
    assert queue.done("job") == 41
    times = [at for at, _ in site.times]
    gaps = [after - before for before, after in itertools.pairwise(times[5:])]
    # Half of the answer's time lies between two starts: two are in flight, not four. (A site on a
    # busy machine hears of a request late: then one gap is longer, the next shorter.)
    assert min(one + next_one for one, next_one in itertools.pairwise(gaps)) > 0.2
    assert reason == "slow_host"


def test_a_redirect_to_a_host_that_rests_waits_for_the_end_of_its_rest(
    place: QueuePlace, queue: QueueReader
) -> None:
    answers = Refusing(0, 4.0, {"Retry-After": "4"})
    with (
        serve(default=answers) as resting,
        serve({"/": Answer(status=302, headers={"Location": f"{resting.url}/end"})}) as site,
        running("scrapy", "work", env=place.env(PAGE_BACKOFF="10")),
    ):
        queue.push({"type": "single-page", "url": f"{resting.url}/first", "jobId": "first"})
        wait_until(lambda: queue.counts("first")["delayed"], 30, "the refusal is noted")
        queue.push({"type": "single-page", "url": f"{site.url}/", "jobId": "job"})
        wait_until(lambda: queue.has_ended("first") and queue.has_ended("job"), 30, "both end")
    assert queue.recorded("job") == [f"{resting.url}/end"]
    assert queue.errors("job") == {}
    began_s = answers.refused[0]
    assert [at for at, _ in resting.times if began_s + 0.1 < at < began_s + 3.9] == []
    assert site.hits["/"] == 2
