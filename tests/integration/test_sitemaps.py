"""Real workers read the sitemaps of real sites: as pages of the job that are not recorded."""

from __future__ import annotations

import gzip
import json
import random
import threading
from typing import Any

from scraper.scope.sitemaps import MAX_SITEMAP_URLS
from scraper.sitemaps import URLS_A_PART
from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.processes import run, running, wait_until
from tests.support.site import Answer, Page, Site, html, serve

queue = queue_reader


def xml(kind: str, *urls: str) -> Answer:
    """A sitemap of `url`s or an index of `sitemap`s."""
    root = "urlset" if kind == "url" else "sitemapindex"
    entries = "".join(f"<{kind}><loc>{url}</loc></{kind}>" for url in urls)
    return Answer(
        f"<?xml version='1.0'?><{root}>{entries}</{root}>".encode(), content_type="text/xml"
    )


def packed(answer: Answer) -> Answer:
    return Answer(gzip.compress(answer.body), content_type="application/octet-stream")


def crawl(place: QueuePlace, queue: QueueReader, site: Site, **fields: Any) -> set[str]:
    job = {"type": "full-crawl", "url": f"{site.url}/", "jobId": "job", "attempts": 1}
    queue.push({**job, "sitemaps": "include", **fields})
    settings = {"PAGE_BACKOFF": "10", "HOST_CONCURRENCY": "16", "USER_AGENT": "TestBot/1.0"}
    with running("scrapy", "work", env=place.env(**settings)):
        wait_until(lambda: queue.has_ended("job"), 50, f"the job ends: {queue.counts('job')}")
    queue.assert_conserved("job")
    assert queue.state("job") == "completed"
    return {url.removeprefix(site.url) for url in queue.recorded("job")}


def command(place: QueuePlace, *words: str) -> str:
    return run("supervisor", *words, env=place.env()).stdout


def big_site(site: Site) -> dict[str, Page]:
    """A sitemap of each form, each with a page that no link leads to."""
    base = site.url
    return {
        "/": html("/linked"),
        "/robots.txt": Answer(
            f"User-agent: *\nDisallow: /secret\nSitemap: {base}/index.xml\n".encode(),
            content_type="text/plain",
        ),
        "/sitemap.xml": xml("url", f"{base}/a", "/b", f"{base}/secret", "https://other.test/"),
        "/index.xml": xml("sitemap", f"{base}/one.xml.gz", f"{base}/two.txt", f"{base}/gone.xml"),
        "/one.xml.gz": packed(xml("url", f"{base}/c", f"{base}/d?utm_source=map")),
        "/two.txt": Answer(f"{base}/e\n{base}/linked\n".encode(), content_type="text/plain"),
        "/gone.xml": Answer(status=404),
    }


def test_pages_of_all_sitemaps_are_taken_by_the_jobs_rules(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=lambda _: html()) as site:
        site.pages = big_site(site)
        recorded = crawl(place, queue, site, excludePaths=["/e"])
        explained = command(place, "explain", "job", f"{site.url}/c")
        shown = json.loads(command(place, "job", "job", "--json"))
    assert recorded == {"/", "/linked", "/a", "/b", "/c", "/d"}
    assert f"found on {site.url}/one.xml.gz" in explained
    assert shown["filtered"] == {"off_scope": 1, "excluded": 1}
    assert {
        url.removeprefix(site.url): error["code"] for url, error in queue.errors("job").items()
    } == {"/gone.xml": "http_404"}
    assert max(site.hits.values()) <= 2, "robots.txt is read by the gate, too"


def test_only_sitemaps_leaves_links_alone_and_budgets_count_pages(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=lambda _: html("/deeper")) as site:
        site.pages = big_site(site)
        recorded = crawl(place, queue, site, sitemaps="only", maxPages=7)
    assert recorded == {"/", "/linked", "/a", "/b", "/c", "/d", "/e"}


def test_a_site_without_sitemaps_has_no_errors_for_it(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve({"/": html("/a"), "/a": html()}) as site:
        assert crawl(place, queue, site) == {"/", "/a"}
    assert queue.errors("job") == {}


def test_sitemaps_are_left_alone_unless_asked_for(place: QueuePlace, queue: QueueReader) -> None:
    with serve(default=lambda _: html()) as site:
        site.pages = big_site(site)
        assert crawl(place, queue, site, sitemaps="skip") == {"/", "/linked"}
        assert site.hits["/sitemap.xml"] == 0


def test_bombs_and_nonsense_end_as_one_failure_each(place: QueuePlace, queue: QueueReader) -> None:
    bomb = gzip.compress(b"<?xml version='1.0'?><urlset>" + b" " * 60_000_000)
    entities = b'<!DOCTYPE u [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset>&b;</urlset>'
    with serve(default=lambda _: html()) as site:
        loop = f"{site.url}/sitemap.xml"
        names = ("/bomb.xml.gz", "/entities.xml", "/deep.xml")
        site.pages = {
            "/": html("/a"),
            "/sitemap.xml": xml("sitemap", loop, *(site.url + name for name in names)),
            "/bomb.xml.gz": Answer(bomb, content_type="application/gzip"),
            "/entities.xml": Answer(entities, content_type="text/xml"),
            "/deep.xml": xml("sitemap", f"{site.url}/deep2.xml"),
            "/deep2.xml": xml("sitemap", f"{site.url}/deep3.xml"),
            "/deep3.xml": xml("sitemap", f"{site.url}/deep4.xml"),
        }
        assert crawl(place, queue, site) == {"/", "/a"}
        codes = {url.removeprefix(site.url): e["code"] for url, e in queue.errors("job").items()}
        assert codes == {"/bomb.xml.gz": "bad_sitemap", "/entities.xml": "bad_sitemap"}
        assert site.hits["/sitemap.xml"] == 1
        assert site.hits["/deep4.xml"] == 0
    assert json.loads(command(place, "job", "job", "--json"))["filtered"] == {"sitemap_limit": 1}


def test_a_sitemap_whose_worker_was_killed_is_read_by_the_next_one(
    place: QueuePlace, queue: QueueReader
) -> None:
    is_killed = threading.Event()

    def slow(_: str) -> Answer:
        assert is_killed.wait(60)
        return xml("url", f"{site.url}/a", f"{site.url}/b")

    with serve({"/": html(), "/sitemap.xml": slow}, default=lambda _: html()) as site:
        job = {"type": "full-crawl", "url": f"{site.url}/", "jobId": "job", "sitemaps": "only"}
        with fleet(place.env(), workers=1) as service:
            queue.push(job)
            wait_until(lambda: site.hits["/sitemap.xml"], 40, "the sitemap is asked for")
            service.kill_worker(random.Random(1))
            is_killed.set()
            wait_until(lambda: queue.has_ended("job"), 40, "the job ends")
        assert site.hits["/sitemap.xml"] == 2
        assert set(queue.recorded("job")) == {f"{site.url}{path}" for path in ("/", "/a", "/b")}
    queue.assert_exactly_once("job")
    queue.assert_conserved("job")


def test_a_large_sitemap_is_taken_in_parts_up_to_its_limit(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=lambda _: html()) as site:
        urls = (f"{site.url}/{number}" for number in range(MAX_SITEMAP_URLS + 5))
        site.pages = {"/": html(), "/sitemap.xml": packed(xml("url", *urls))}
        recorded = crawl(place, queue, site, maxPages=100_000, includePaths=["/*9999"])
        parts = site.hits["/sitemap.xml"]
    assert recorded == {"/", *(f"/{number}" for number in range(9_999, 50_000, 10_000))}
    assert parts == MAX_SITEMAP_URLS // URLS_A_PART
    filtered = json.loads(command(place, "job", "job", "--json"))["filtered"]
    assert filtered == {"not_included": MAX_SITEMAP_URLS - 5, "sitemap_limit": 1}
