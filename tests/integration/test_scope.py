"""What real workers take of real sites: hosts, nofollow, canonical, refresh, queries, traps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from scraper.extraction.limits import MAX_ANCHORS, MAX_RECORDED_ANCHORS
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.processes import run, running, wait_until
from tests.support.services import asked
from tests.support.site import Answer, Site, html, serve

queue = queue_reader
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def place(where: QueuePlace) -> Iterator[QueuePlace]:
    """The module's queue and one worker for all crawls: they take less time than its start."""
    with running("scrapy", "work", env=where.env(PAGE_BACKOFF="10", HOST_CONCURRENCY="16")):
        yield where


@pytest.fixture
def job() -> str:
    return f"job-{next(_numbers)}"


def crawl(queue: QueueReader, job: str, url: str, **fields: Any) -> set[str]:
    """A full crawl by a real worker; the URLs that it recorded."""
    queue.push({"type": "full-crawl", "url": url, "jobId": job, "attempts": 1, **fields})
    wait_until(lambda: queue.has_ended(job), 50, f"the job ends: {queue.counts(job)}")
    queue.assert_conserved(job)
    assert queue.state(job) == "completed"
    return set(queue.recorded(job))


def left_out(place: QueuePlace, job: str) -> dict[str, int]:
    counts, _ = asked(place, lambda queue: queue.reader.filtered(job))
    return counts


def at(site: Site, *paths: str) -> set[str]:
    return {site.url + path for path in paths}


def page(head: str, *links: str) -> Answer:
    body = "".join(f"<a href='{link}'>x</a>" for link in links)
    return Answer(f"<html><head>{head}</head><body>{body}</body></html>".encode())


def test_nofollow_is_obeyed_by_link_by_page_and_by_header(
    place: QueuePlace, queue: QueueReader, job: str
) -> None:
    quiet = html("/by-header")
    quiet.headers = {"X-Robots-Tag": "noindex, nofollow"}
    start = (
        b"<a rel='noopener NOFOLLOW' href=/by-link>x</a><a href=/meta>x</a><a href=/quiet>x</a>"
        b"<a rel=nofollow href=/twice>x</a><a href=/twice>x</a>"
    )
    pages = {
        "/": Answer(start),
        "/meta": page("<meta name=robots content=nofollow>", "/by-meta"),
        "/quiet": quiet,
        "/twice": html(),
    }
    with serve(pages, default=lambda _: html()) as site:
        assert crawl(queue, job, f"{site.url}/") == at(site, "/", "/meta", "/quiet", "/twice")
    assert left_out(place, job) == {"nofollow": 3}


def test_canonical_and_refresh_lead_to_pages_of_the_site(
    place: QueuePlace, queue: QueueReader, job: str
) -> None:
    pages = {
        "/": page("<link rel=canonical href=/home>", "/old"),
        "/home": page("<link rel=canonical href=/home>"),
        "/old": page('<meta http-equiv="Refresh" content="0; URL=\'/new\'">'),
        "/new": page("<link rel=canonical href=https://elsewhere.test/new>"),
    }
    with serve(pages) as site:
        assert crawl(queue, job, f"{site.url}/") == at(site, "/", "/home", "/old", "/new")
    assert left_out(place, job) == {"off_scope": 1}


def test_links_beyond_the_limit_of_a_page_are_told(
    place: QueuePlace, queue: QueueReader, job: str
) -> None:
    links = [f"/x{number}" for number in range(MAX_ANCHORS + 1)]
    with serve({"/": html(*links)}) as site:
        assert crawl(queue, job, f"{site.url}/", includePaths=["/none"]) == at(site, "/")
    assert left_out(place, job) == {"not_included": MAX_ANCHORS, "too_many_links": 1}
    [record], _ = asked(place, lambda queue: queue.reader.records(job))
    assert len(record["links"]["internal"]) == MAX_RECORDED_ANCHORS


def test_further_hosts_belong_where_the_job_says_so(queue: QueueReader, job: str) -> None:
    with serve({"/": html("/a")}, default=lambda _: html()) as other, serve() as site:
        host = other.url.removeprefix("http://")
        site.pages["/"] = html(f"{other.url}/", "http://127.0.0.1:9/")
        recorded = crawl(queue, job, f"{site.url}/", allowedHosts=[host])
        assert recorded == at(site, "/") | at(other, "/", "/a")


def test_forms_of_one_page_are_fetched_once(queue: QueueReader, job: str) -> None:
    names = [f"{name}={n}" for n, name in enumerate("abcd")]
    links = [f"/p?{'&'.join(order)}" for order in itertools.permutations(names)]
    links += [f"/p?a=0&b=1&c=2&d=3&utm_source={n}" for n in range(9)]
    links += [f"/q;jsessionid={n:08x}" for n in range(9)]
    with serve({"/": html(*links)}, default=lambda _: html()) as site:
        recorded = crawl(queue, job, f"{site.url}/")
        assert recorded == at(site, "/", "/p?a=0&b=1&c=2&d=3", "/q")
        assert site.hits.total() == 3


sessions = itertools.count()


def trap(path: str) -> Answer:
    """A site without an end, of four kinds; each page leads to more."""
    kind = path.split("/")[1].partition("?")[0]
    if kind == "calendar":
        year, month = (int(part) for part in path.split("/")[2:4])
        after, before = divmod(year * 12 + month, 12), divmod(year * 12 + month - 2, 12)
        return html(*(f"/calendar/{y}/{m + 1:02}" for y, m in (after, before)))
    if kind == "shop":
        session = f"{next(sessions):06}abcd"
        return html(*(f"/shop?item={n}&sid={session}" for n in range(3)))
    if kind == "deep":
        return html(*(f"{path}/{name}" for name in ("left", "right")))
    number = int(path.rpartition("x")[2] or 0)
    return html(*(f"/list?color={number}&size={n}&sort=x{2 * number + n}" for n in (1, 2)))


TRAPS = [
    ("/calendar/2024/05", "trap_calendar", 60),
    ("/shop?item=0", "trap_session", 60),
    ("/deep", "trap_path", 250),
    ("/list?sort=x", "trap_query", 60),
]


@pytest.mark.parametrize(("start", "reason", "most"), TRAPS)
def test_a_site_without_an_end_is_left_with_the_reason(
    start: str, reason: str, most: int, place: QueuePlace, queue: QueueReader, job: str
) -> None:
    with serve(default=trap) as site:
        recorded = crawl(queue, job, site.url + start, maxPages=5_000, maxPagesPerShape=50)
        explained = run(
            "supervisor", "explain", job, f"{site.url}/calendar/1850/01", env=place.env()
        ).stdout
    assert len(recorded) <= most
    assert left_out(place, job)[reason] > 0
    if reason == "trap_calendar":
        assert len(recorded) >= 50, "the budget is there to be used"
        assert "maxPagesPerShape" in explained


def test_a_thousand_pages_of_one_form_are_no_trap(queue: QueueReader, job: str) -> None:
    links = [f"/docs/15/sql-{number}.html" for number in range(1_000)]
    with serve({"/": html(*links)}, default=lambda _: html("/")) as site:
        recorded = crawl(queue, job, f"{site.url}/", maxPages=5_000, maxPagesPerShape=1)
    assert len(recorded) == 1_001
