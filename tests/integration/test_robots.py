"""robots.txt is obeyed by real workers: what it forbids is not fetched, whoever waits for it."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.processes import run, running, wait_until
from tests.support.site import Answer, Page, Site, html, serve

FORBIDS_PRIVATE = b"User-agent: *\nDisallow: /private/\n"


def text(body: bytes, status: int = 200, **headers: str) -> Answer:
    return Answer(body, status, headers, "text/plain")


queue = queue_reader


def crawl(
    place: QueuePlace, queue: QueueReader, site: Site, *, workers: int = 1,
    settings: dict[str, str] | None = None, **fields: Any,
) -> str:  # fmt: skip
    """A full crawl from / by real workers; its state."""
    job = {"type": "full-crawl", "url": f"{site.url}/", "jobId": "job", "attempts": 1, **fields}
    env = place.env(PAGE_BACKOFF="10", **settings or {})
    with running("scrapy", "work", env=env, count=workers):
        queue.push(job)
        wait_until(lambda: queue.has_ended("job"), 40, f"the job ends: {queue.counts('job')}")
    queue.assert_conserved("job")
    return str(queue.state("job"))


def private_site(robots: Page) -> dict[str, Page]:
    links = [f"/private/{n}" for n in range(30)] + [f"/public/{n}" for n in range(10)]
    pages: dict[str, Page] = {"/robots.txt": robots, "/": html(*links)}
    pages |= {link: html("/") for link in links}
    return pages


def private_hits(site: Site) -> int:
    return sum(n for path, n in site.hits.items() if path.startswith("/private/"))


def test_disallowed_pages_are_skipped_with_their_line_and_use_no_budget(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(private_site(text(FORBIDS_PRIVATE))) as site:
        assert crawl(place, queue, site, maxPages=11) == "completed"
        explained = run(
            "supervisor", "explain", "job", f"{site.url}/private/3", env=place.env()
        ).stdout
    assert private_hits(site) == 0
    assert site.hits["/robots.txt"] == 1
    assert queue.counts("job")["skipped"] == 30
    assert queue.done("job") == 11
    assert "robots.txt" in explained
    assert "Disallow: /private/" in explained


def test_many_workers_that_wait_for_one_slow_file_fetch_it_once_and_nothing_forbidden(
    place: QueuePlace, queue: QueueReader
) -> None:
    """Scrapy's own middleware lets all but the first of those that wait through."""
    robots = text(FORBIDS_PRIVATE)
    robots.delay_s = 2.0
    with serve({"/robots.txt": robots}, default=lambda _: html()) as site:
        paths = ["/private/a", "/public/a", "/private/b", "/private/c"] * 5
        with running("scrapy", "work", env=place.env(HOST_CONCURRENCY="16"), count=3):
            for number, path in enumerate(paths):
                queue.push({"type": "single-page", "url": site.url + path, "jobId": f"j{number}"})
            wait_until(lambda: all(queue.has_ended(f"j{n}") for n in range(20)), 40, "all end")
        states = [queue.state(f"j{n}") for n in range(20)]
    assert private_hits(site) == 0
    assert site.hits["/robots.txt"] == 1
    assert states == ["completed" if path == "/public/a" else "failed" for path in paths]


def test_file_that_swells_when_it_is_stored_is_read_by_every_worker(
    place: QueuePlace, queue: QueueReader
) -> None:
    rules = FORBIDS_PRIVATE + b"\n# " + b"\0" * 480_000
    with serve({**private_site(text(rules)), "/later": html()}) as site:
        assert crawl(place, queue, site) == "completed"
        # Another worker, which has the file from Redis.
        with running("scrapy", "work", env=place.env()):
            queue.push({"type": "single-page", "url": f"{site.url}/later", "jobId": "later"})
            wait_until(lambda: queue.has_ended("later"), what="the page of the other worker ends")
    assert site.hits["/robots.txt"] == 1
    assert queue.state("later") == "completed", queue.errors("later")
    assert private_hits(site) == 0


def test_forbidden_start_page_fails_its_job_with_the_reason(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve({"/robots.txt": text(b"User-agent: *\nDisallow: /")}) as site:
        assert crawl(place, queue, site, attempts=3) == "failed"
    assert site.hits["/"] == 0
    [error] = queue.errors("job").values()
    assert error["code"] == "robots"
    assert "(Disallow: /)" in error["message"]
    assert queue.fields("job", "finish_reason") == ["robots"]


def test_redirect_to_a_forbidden_page_is_not_followed(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(
        {
            "/robots.txt": text(FORBIDS_PRIVATE),
            "/": html("/moved"),
            "/moved": Answer(status=302, headers={"Location": "/private/x"}),
        },
        default=lambda _: html(),
    ) as site:
        assert crawl(place, queue, site) == "completed"
    assert private_hits(site) == 0
    assert queue.counts("job")["skipped"] == 1


@pytest.mark.parametrize(
    ("settings", "fields", "is_lifted"),
    [
        ({"ROBOTS_OBEY": "false"}, {}, True),
        ({}, {"ownSite": True}, True),
        ({}, {"turboMode": True}, False),
    ],
    ids=["ROBOTS_OBEY", "ownSite", "turboMode"],
)
def test_what_lifts_robots_and_what_does_not(
    place: QueuePlace, queue: QueueReader, settings: dict[str, str], fields: dict[str, Any],
    is_lifted: bool,
) -> None:  # fmt: skip
    with serve(private_site(text(FORBIDS_PRIVATE))) as site:
        assert crawl(place, queue, site, settings=settings, **fields) == "completed"
    assert private_hits(site) == (30 if is_lifted else 0)
    assert site.hits["/robots.txt"] == (0 if is_lifted else 1)


# What a site answers to /robots.txt -> whether /private/ may be fetched.
ANSWERS: dict[str, tuple[Answer, bool]] = {
    "404": (Answer(status=404), True),
    "403": (Answer(status=403), True),
    "redirect": (Answer(status=301, headers={"Location": "/real-robots"}), False),
    "loop": (Answer(status=301, headers={"Location": "/robots.txt"}), True),
    "rule-behind-500-KiB": (text(b"#" * 600_000 + b"\n" + FORBIDS_PRIVATE), True),
    "large": (text(FORBIDS_PRIVATE + b"#" * 600_000), False),
    "byte-order-mark": (text(b"\xef\xbb\xbf" + FORBIDS_PRIVATE), False),
}


def test_answers_to_robots_mean_what_rfc_9309_says(place: QueuePlace, queue: QueueReader) -> None:
    with contextlib.ExitStack() as stack:
        sites = {
            name: stack.enter_context(
                serve({**private_site(robots), "/real-robots": text(FORBIDS_PRIVATE)})
            )
            for name, (robots, _) in ANSWERS.items()
        }
        stack.enter_context(running("scrapy", "work", env=place.env()))
        for name, site in sites.items():
            queue.push({"type": "full-crawl", "url": f"{site.url}/", "jobId": name})
        wait_until(lambda: all(map(queue.has_ended, ANSWERS)), 40, "all crawls end")
    assert {queue.state(name) for name in ANSWERS} == {"completed"}
    fetched = {name: private_hits(site) for name, site in sites.items()}
    assert fetched == {name: 30 if allows else 0 for name, (_, allows) in ANSWERS.items()}


def test_robots_on_another_host_is_followed(place: QueuePlace, queue: QueueReader) -> None:
    with (
        serve({"/elsewhere": text(FORBIDS_PRIVATE)}) as other,
        serve(
            private_site(Answer(status=302, headers={"Location": f"{other.url}/elsewhere"}))
        ) as site,
    ):
        assert crawl(place, queue, site) == "completed"
    assert private_hits(site) == 0
    assert other.hits["/elsewhere"] == 1


def test_while_robots_fails_nothing_is_fetched_and_no_page_is_lost(
    place: QueuePlace, queue: QueueReader
) -> None:
    is_well = threading.Event()
    answers = {True: text(FORBIDS_PRIVATE), False: text(b"", 503)}
    pages = private_site(lambda _: answers[is_well.is_set()])
    with serve(pages) as site, running("scrapy", "work", env=place.env()):
        queue.push({"type": "full-crawl", "url": f"{site.url}/", "jobId": "job"})
        wait_until(lambda: queue.counts("job")["delayed"] == 1, 60, "the page waits")
        assert site.hits["/"] == 0
        is_well.set()
        wait_until(lambda: queue.state("job") == "completed", 40, "the job completes")
    assert private_hits(site) == 0
    assert queue.done("job") == 11


def test_robots_that_stays_out_of_reach_fails_its_pages_clearly(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve({"/robots.txt": text(b"", 500)}) as site:
        assert crawl(place, queue, site, settings={"PAGE_ATTEMPTS": "1"}) == "failed"
    assert site.hits["/"] == 0
    [error] = queue.errors("job").values()
    assert error["code"] == "robots_unreachable"
    assert "answered 500" in error["message"]


def test_unreachable_host_keeps_its_own_code(place: QueuePlace, queue: QueueReader) -> None:
    with running("scrapy", "work", env=place.env(PAGE_BACKOFF="10")):
        job = {"type": "single-page", "url": "http://127.0.0.1:9/", "jobId": "job", "attempts": 1}
        queue.push(job)
        wait_until(lambda: queue.has_ended("job"), 60, "the job ends")
    [error] = queue.errors("job").values()
    assert error["code"] == "refused"
    assert error["attempt"] == 3


def test_robots_is_read_again_when_its_time_is_over(place: QueuePlace, queue: QueueReader) -> None:
    allows: list[Answer] = [text(b""), text(FORBIDS_PRIVATE)]
    with serve(
        {"/robots.txt": lambda _: allows.pop(0) if len(allows) > 1 else allows[0]},
        default=lambda _: html(),
    ) as site:
        env = place.env(ROBOTS_TTL="1")
        with running("scrapy", "work", env=env):
            job = {"type": "single-page", "url": f"{site.url}/private/1", "attempts": 1}
            queue.push({**job, "jobId": "before"})
            wait_until(lambda: queue.has_ended("before"), 60, "the first ends")
            wait_until(
                lambda: not queue.redis.keys(f"{queue.prefix}robots:*"), 5, "the file expires"
            )
            queue.push({**job, "jobId": "after"})
            wait_until(lambda: queue.has_ended("after"), 60, "the second ends")
    assert (queue.state("before"), queue.state("after")) == ("completed", "failed")
    assert private_hits(site) == 1


def test_crawl_delay_spaces_the_fetches_of_all_workers(
    place: QueuePlace, queue: QueueReader
) -> None:
    links = [f"/{n}" for n in range(6)]
    robots = text(b"User-agent: *\nCrawl-delay: 0.5\n")
    with serve({"/robots.txt": robots, "/": html(*links)}, default=lambda _: html()) as site:
        assert crawl(place, queue, site, workers=3) == "completed"
    starts = [at for at, _ in site.times]
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert len(starts) == 8
    # A site on a busy machine hears of a request late: then one gap is longer, the next shorter.
    assert min(gaps) > 0.25
    assert min(one + next_one for one, next_one in itertools.pairwise(gaps)) > 2 * 0.375
