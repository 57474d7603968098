"""A worker is asked in every way to connect to this machine, and never does."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.canary import SPELLINGS, Canary, canary
from tests.support.processes import running, wait_until
from tests.support.site import Answer, Page, html, serve

# The one address that may be connected to; it stands for the public network.
PUBLIC = "127.0.0.2"
FOREIGN_SCHEMES = (
    "file:///etc/passwd", "file://localhost/etc/passwd", "ftp://{canary}/", "data:text/html,<p>x",
    "s3://bucket/key", "gopher://{canary}/x", "javascript:alert(1)", "dict://{canary}/", "ws://{canary}/",
)  # fmt: skip


@pytest.fixture
def watched() -> Iterator[Canary]:
    with canary() as it:
        yield it


queue = queue_reader


def worker_env(place: QueuePlace, watched: Canary, **more: str) -> dict[str, str]:
    """A worker that has proxies in its environment, too."""
    proxy = f"http://127.0.0.1:{watched.port}"
    proxies = {
        name: proxy
        for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        for name in (upper, upper.lower())
    }
    settings = {"ALLOW_PRIVATE_HOSTS": PUBLIC, "PAGE_BACKOFF": "10", "PAGE_ATTEMPTS": "1"}
    settings |= {"WORKER_CONCURRENCY": "16", "REQUEST_TIMEOUT": "5"}
    return place.env() | settings | proxies | more


def outcomes(queue: QueueReader, job_ids: list[str]) -> dict[str, str]:
    """Job -> the code of its page; `completed` if it was recorded, `refused` if it is no job."""
    found = {}
    for job_id in job_ids:
        errors = list(queue.errors(job_id).values())
        state = queue.state(job_id)
        found[job_id] = "refused" if state is None else errors[0]["code"] if errors else state
    return found


def test_no_address_form_in_a_job_or_a_redirect_leads_inside(
    place: QueuePlace, queue: QueueReader, watched: Canary
) -> None:
    targets = [f"http://{spelling}:{watched.port}/" for spelling in SPELLINGS]
    targets += [scheme.format(canary=f"127.0.0.1:{watched.port}") for scheme in FOREIGN_SCHEMES]
    pages: dict[str, Page] = {
        f"/{number}": Answer(status=302, headers={"Location": _header(target)})
        for number, target in enumerate(targets)
    }
    with (
        serve(pages, host=PUBLIC) as site,
        running("scrapy", "work", env=worker_env(place, watched)) as [worker],
    ):
        jobs = {f"url-{n}": target for n, target in enumerate(targets)}
        jobs |= {f"redirect-{n}": f"{site.url}/{n}" for n in range(len(targets))}
        for job_id, url in jobs.items():
            queue.push({"type": "single-page", "url": url, "jobId": job_id, "attempts": 1})
        queue.push(
            {"type": "single-page", "url": f"{site.url}/404", "jobId": "last", "attempts": 1}
        )
        wait_until(
            lambda: sum(map(queue.has_ended, jobs)) + queue.rejected() == len(jobs), 40, "all end"
        )
        wait_until(lambda: queue.has_ended("last"), what="the worker goes on")
        assert worker.poll() is None
    found = outcomes(queue, list(jobs))
    allowed = {"blocked_address", "refused", "bad_redirect", "dns", "bad_request"}
    assert {job: (jobs[job], code) for job, code in found.items() if code not in allowed} == {}
    # It is the guard that stands in the way, and not that nothing was tried.
    assert list(found.values()).count("blocked_address") > len(SPELLINGS)
    assert watched.connections == 0


def test_no_link_refresh_frame_or_base_leads_inside(
    place: QueuePlace, queue: QueueReader, watched: Canary
) -> None:
    inside = f"http://127.0.0.1:{watched.port}"
    links = [f"http://{spelling}:{watched.port}/" for spelling in SPELLINGS]
    links += [scheme.format(canary=f"127.0.0.1:{watched.port}") for scheme in FOREIGN_SCHEMES]
    body = (
        f'<base href="{inside}/"><meta http-equiv="refresh" content="0; url={inside}/r">'
        f'<link rel="canonical" href="{inside}/c"><link rel="stylesheet" href="{inside}/s">'
        f'<a href="relative">x</a><iframe src="{inside}/f"></iframe><img src="{inside}/i">'
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "{inside}/e">]>&e;'
    )
    pages: dict[str, Page] = {"/": html(*links), "/tricks": Answer(body.encode())}
    with (
        serve(pages, host=PUBLIC) as site,
        running("scrapy", "work", env=worker_env(place, watched)),
    ):
        for job_id, path in (("links", "/"), ("tricks", "/tricks")):
            queue.push(
                {"type": "full-crawl", "url": site.url + path, "jobId": job_id, "attempts": 1}
            )
        wait_until(lambda: all(map(queue.has_ended, ("links", "tricks"))), 30, "both end")
    assert queue.state("links") == queue.state("tricks") == "completed"
    assert watched.connections == 0


@pytest.mark.parametrize("path", ["/robots.txt", "//robots.txt"])
def test_no_robots_file_and_no_sitemap_leads_inside(
    place: QueuePlace, queue: QueueReader, watched: Canary, path: str
) -> None:
    inside = f"http://127.0.0.1:{watched.port}/{path}"
    robots: dict[str, Page] = {
        "/robots.txt": Answer(status=301, headers={"Location": inside}),
        "/": html(),
    }
    rules = f"User-agent: *\nDisallow: /no\nSitemap: {inside}\n".encode()
    index = f"<sitemapindex><sitemap><loc>{inside}</loc></sitemap></sitemapindex>".encode()
    pages = f"<urlset><url><loc>{inside}/page</loc></url></urlset>".encode()
    named: dict[str, Page] = {
        "/robots.txt": Answer(rules + b"Sitemap: /index.xml\nSitemap: /pages.xml\n"
                              b"Sitemap: /moved.xml\n", content_type="text/plain"),
        "/index.xml": Answer(index, content_type="application/xml"),
        "/pages.xml": Answer(pages, content_type="application/xml"),
        "/moved.xml": Answer(status=302, headers={"Location": inside}),
        "/": html(),
    }  # fmt: skip
    with (
        serve(robots, host=PUBLIC) as redirecting,
        serve(named, host=PUBLIC) as naming,
        running("scrapy", "work", env=worker_env(place, watched)),
    ):
        for job_id, site in (("redirecting", redirecting), ("naming", naming)):
            queue.push(
                {"type": "full-crawl", "url": f"{site.url}/", "jobId": job_id, "attempts": 1,
                 "sitemaps": "include"}
            )  # fmt: skip
        wait_until(lambda: all(map(queue.has_ended, ("redirecting", "naming"))), 30, "both end")
    assert outcomes(queue, ["redirecting"]) == {"redirecting": "blocked_address"}
    assert queue.state("naming") == "completed"
    assert {"/index.xml", "/pages.xml", "/moved.xml"} <= set(naming.hits)
    codes = {error["code"] for error in queue.errors("naming").values()}
    assert codes == {"blocked_address"}
    assert watched.connections == 0


def test_the_canary_sings_when_it_is_connected_to(watched: Canary) -> None:
    socket.create_connection(("127.0.0.1", watched.port), timeout=5).close()
    wait_until(lambda: watched.connections == 1, 5, "the connection is counted")


def _header(text: str) -> str:
    """As a header's bytes that are UTF-8; http.server writes Latin-1."""
    return text.encode().decode("latin-1")
