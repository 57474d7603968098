"""Whatever a site answers: one clear outcome for that page, and the worker lives."""

from __future__ import annotations

import json
import time

import pytest

from tests.chaos.hostile_site import PAGES, Misdeed, answer, page, serve_hostile
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until

REQUEST_TIMEOUT_S = 3
LONGEST_STANDSTILL_S = 30.0  # the stall time-out: a supervisor would take the worker for dead


@pytest.mark.timeout(120)
def test_each_hostile_page_has_one_clear_outcome_and_the_worker_lives(
    place: QueuePlace, queue: QueueReader
) -> None:
    env = place.env(
        REQUEST_TIMEOUT=str(REQUEST_TIMEOUT_S), PAGE_BACKOFF="10", ALLOW_PRIVATE_HOSTS="127.0.0.1",
        WORKER_CONCURRENCY="16",
    )  # fmt: skip
    misdeeds = {name: misdeed for name, (misdeed, _) in PAGES.items()}
    with serve_hostile(misdeeds) as site, running("scrapy", "work", env=env) as [worker]:
        for name in PAGES:
            queue.push(
                {"type": "single-page", "url": f"{site.url}/{name}", "jobId": name, "attempts": 1,
                 "turboMode": True}
            )  # fmt: skip
        wait_until(
            lambda: all(map(queue.has_ended, PAGES)), 90,
            f"all end: {[name for name in PAGES if not queue.has_ended(name)]}",
        )  # fmt: skip
        queue.push({"type": "single-page", "url": f"{site.url}/good", "jobId": "good"})
        wait_until(lambda: queue.state("good") == "completed", 60, "the worker goes on")
        assert worker.poll() is None
    outcomes = {name: outcome(queue, name) for name in PAGES}
    print(json.dumps(outcomes, indent=1))
    wrong = {
        name: (outcomes[name], codes)
        for name, (_, codes) in PAGES.items()
        if outcomes[name] not in codes
    }
    assert wrong == {}


def outcome(queue: QueueReader, job_id: str) -> str:
    """The failure code of a page's job; "" when it was recorded."""
    queue.assert_conserved(job_id)
    if queue.state(job_id) == "completed":
        assert queue.done(job_id) == 1
        return ""
    assert queue.recorded(job_id) == []
    [error] = queue.errors(job_id).values()
    assert len(error["message"]) > 5, job_id
    return str(error["code"])


# A page of links -> the paths that a full crawl of it asks for.
LINK_PAGES: dict[str, tuple[bytes, set[str]]] = {
    "broken-base": (page("ok", head='<base href="http://[bad">'), {"/ok"}),
    "empty-base": (page("ok", head='<base href="">'), {"/ok"}),
    "foreign-base": (page("ok", head='<base href="http://127.0.0.1:9/">'), set()),
    "spaces": (page("a b", " /c ", "/d\n/e", "/f%20g"), {"/a%20b", "/c", "/d/e", "/f%20g"}),
    "unicode": (page("/ü/日本", "/%E6%97%A5"), {"/%C3%BC/%E6%97%A5%E6%9C%AC", "/%E6%97%A5"}),
    "rubbish": (
        page("http://[", "http://127.0.0.1:99999/", "http:///", "//", "/%zz", "/\x01", "/g\x7f",
             "/" + "x" * 100_000, "javascript:void(0)", "?", "http://user:pw@127.0.0.1:9/"),
        {"/", "/%zz", "/g%7F"},
    ),
}  # fmt: skip


def test_odd_links_are_asked_for_as_a_browser_would(place: QueuePlace, queue: QueueReader) -> None:
    pages: dict[str, Misdeed] = {name: answer(body) for name, (body, _) in LINK_PAGES.items()}
    with serve_hostile(pages) as site, running("scrapy", "work", env=place.env()) as [worker]:
        for name in LINK_PAGES:
            queue.push({"type": "full-crawl", "url": f"{site.url}/{name}", "jobId": name})
        wait_until(lambda: all(map(queue.has_ended, LINK_PAGES)), 60, "the crawls end")
        assert worker.poll() is None
    for name, (_, paths) in LINK_PAGES.items():
        assert queue.state(name) == "completed", queue.errors(name)
        assert queue.errors(name) == {}, name
        recorded = {url.removeprefix(site.url) for url in queue.recorded(name)} - {f"/{name}"}
        assert recorded == paths, name


@pytest.mark.timeout(90)
def test_a_page_with_300_000_links_holds_up_nobody_for_long(
    place: QueuePlace, queue: QueueReader
) -> None:
    body = page(*(f"/{number}" for number in range(300_000)))
    with (
        serve_hostile({"many": answer(body)}) as site,
        running("scrapy", "work", env=place.env()) as [worker],
    ):
        fields = {"type": "full-crawl", "url": f"{site.url}/many", "jobId": "many", "attempts": 1}
        queue.push({**fields, "maxPages": 20})
        began_s = time.monotonic()
        wait_until(lambda: queue.has_ended("many"), 60, "the crawl ends")
        took_s = time.monotonic() - began_s
        queue.push({"type": "single-page", "url": f"{site.url}/good", "jobId": "good"})
        wait_until(lambda: queue.state("good") == "completed", 60, "the worker goes on")
        assert worker.poll() is None
    print(
        f"300,000 links: {queue.state('many')}, {queue.counts('many')}, {took_s:.1f} s, "
        f"{queue.errors('many')}"
    )
    assert took_s < LONGEST_STANDSTILL_S
    queue.assert_conserved("many")
    if queue.state("many") == "completed":
        assert len(queue.recorded("many")) == 20
    else:
        assert [error["code"] for error in queue.errors("many").values()] == ["too_large"]
