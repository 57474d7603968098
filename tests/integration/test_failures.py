"""Each kind of failure against a hostile server: its code, its tries, its text, and no budget."""

from __future__ import annotations

import gzip
import itertools
import random
from collections import Counter

import pytest

from tests.chaos.hostile_site import (
    STREAM,
    Misdeed,
    answer,
    endless,
    page,
    raw,
    redirect,
    reset,
    serve_hostile,
)
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support import careless_spiders
from tests.support.processes import running, wait_until

TRIES = 3
LOOPS = 11  # the first request and ten redirects


queue = queue_reader


def status(line: str, *headers: str) -> Misdeed:
    return answer(b"<p>no", *headers, status=line)


HALF = gzip.compress(random.Random(1).randbytes(9_000))[:3_000]
CUT = STREAM + b"Transfer-Encoding: chunked\r\n\r\n100\r\n<p>half"

# Path -> what it does, its code, how often it is asked for, and what its text says.
FAILURES: dict[str, tuple[Misdeed, str, int, str]] = {
    "401": (status("401 Who"), "http_401", 1, "answered 401"),
    "403": (status("403 No"), "http_403", 1, "answered 403"),
    "404": (status("404 None"), "http_404", 1, "answered 404"),
    "410": (status("410 Gone"), "http_410", 1, "answered 410"),
    "418": (status("418 Tea"), "http_418", 1, "answered 418"),
    "408": (status("408 Late"), "http_408", TRIES, "answered 408"),
    "425": (status("425 Early"), "http_425", TRIES, "answered 425"),
    "429": (status("429 Many"), "http_429", TRIES, "answered 429"),
    "500": (status("500 Oops"), "http_500", TRIES, "answered 500"),
    "502": (status("502 Bad"), "http_502", TRIES, "answered 502"),
    "503": (status("503 Busy"), "http_503", TRIES, "answered 503"),
    "504": (status("504 Slow"), "http_504", TRIES, "answered 504"),
    "404-retry-after": (status("404 None", "Retry-After: 1"), "http_404", 1, "answered 404"),
    "closed": (raw(b""), "reset", TRIES, "before it answered"),
    "reset": (reset, "truncated", TRIES, "whole body"),
    "truncated": (answer(b"<p>half", length=1000), "truncated", TRIES, "whole body"),
    "silence": (endless(b"", b"", 0.1), "timeout", TRIES, "took longer than 1 s"),
    "drip": (endless(STREAM + b"\r\n", b"x", 0.1), "timeout", TRIES, "took longer than 1 s"),
    "cut-chunk": (raw(CUT), "truncated", TRIES, "whole body"),
    "half-gzip": (answer(HALF, "Content-Encoding: gzip"), "truncated", TRIES, "whole body"),
    "too-large": (answer(b"x" * 100, length=1 << 40), "too_large", 1, "larger than"),
    "no-gzip": (answer(b"<p>", "Content-Encoding: gzip"), "undecodable", 1, "decoded as gzip"),
    "no-http": (raw(b"what?\r\n\r\n"), "bad_response", 1, "not valid HTTP"),
    "loop": (redirect("/loop"), "too_many_redirects", LOOPS, "more than 10 redirects"),
    "to-ftp": (redirect("ftp://127.0.0.1/"), "bad_redirect", 1, "redirect to"),
}  # fmt: skip


@pytest.mark.timeout(120)
def test_each_failure_has_its_code_its_tries_and_its_text_and_uses_no_budget(
    place: QueuePlace, queue: QueueReader
) -> None:
    pages = {name: misdeed for name, (misdeed, *_) in FAILURES.items()}
    pages[""] = answer(page(*(f"/{name}" for name in FAILURES), "/good"))
    pages["robots.txt"] = status("404 None")
    env = place.env(
        PAGE_BACKOFF="10", HOST_BACKOFF="10", HOST_SLOW_AFTER="60000", HOST_DELAY_MAX="0",
        REQUEST_TIMEOUT="1",
    )  # fmt: skip
    with serve_hostile(pages) as site, running("scrapy", "work", env=env):
        queue.push(
            {"type": "full-crawl", "url": f"{site.url}/", "jobId": "job", "maxPages": 3}
        )  # fmt: skip
        wait_until(
            lambda: len(queue.errors("job")) == len(FAILURES) and queue.has_ended("job"), 90,
            f"the crawl ends: {queue.counts('job')}",
        )  # fmt: skip
    queue.assert_conserved("job")
    assert queue.state("job") == "completed"
    assert set(queue.recorded("job")) == {f"{site.url}/", f"{site.url}/good"}
    asked = Counter(path.strip("/") for path in site.paths)
    errors = {url.removeprefix(f"{site.url}/"): error for url, error in queue.errors("job").items()}
    assert {name: (errors[name]["code"], asked[name]) for name in FAILURES} == {
        name: (code, tries) for name, (_, code, tries, _) in FAILURES.items()
    }
    unclear = {
        name: errors[name]["message"]
        for name, (*_, text) in FAILURES.items()
        if text not in errors[name]["message"]
    }
    assert unclear == {}


@pytest.mark.timeout(90)
def test_hosts_that_cannot_be_fetched_from_fail_clearly_after_their_tries(
    place: QueuePlace, queue: QueueReader
) -> None:
    rows = {
        "dns": ("http://none.invalid/", TRIES, "none.invalid"),
        "refused": ("http://127.0.0.1:9/", TRIES, "refused the connection"),
        "blocked_address": ("http://10.0.0.1/", 1, "10.0.0.1"),
    }
    with running("scrapy", "work", env=place.env(PAGE_BACKOFF="10")):
        for code, (url, *_) in rows.items():
            queue.push({"type": "single-page", "url": url, "jobId": code, "attempts": 1})
        wait_until(lambda: all(map(queue.has_ended, rows)), 60, "all end")
    for code, (url, tries, text) in rows.items():
        queue.assert_conserved(code)
        assert queue.state(code) == "failed"
        [error] = queue.errors(code).values()
        assert (error["url"], error["code"], error["attempt"]) == (url, code, tries)
        assert text in error["message"]


@pytest.mark.parametrize("line", ["429 Many", "503 Busy"])
def test_retry_after_lies_between_the_tries_of_a_page(
    place: QueuePlace, queue: QueueReader, line: str
) -> None:
    pages = {"": status(line, "Retry-After: 1"), "robots.txt": status("404 None")}
    with serve_hostile(pages) as site, running("scrapy", "work", env=place.env(PAGE_BACKOFF="10")):
        queue.push(
            {"type": "single-page", "url": f"{site.url}/", "jobId": "job", "attempts": 1}
        )  # fmt: skip
        wait_until(lambda: queue.has_ended("job"), 30, "the job ends")
    times = [at for at, path in site.times if path == "/"]
    assert len(times) == TRIES
    assert min(after - before for before, after in itertools.pairwise(times)) > 0.9


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8"])
def test_faults_of_a_spider_are_counted_and_links_of_wide_encodings_are_followed(
    place: QueuePlace, queue: QueueReader, encoding: str
) -> None:
    """Scrapy writes the Referer of links on UTF-16 and UTF-32 pages as a broken header."""
    content = page("/a", "/fault", "/b").decode().encode(encoding)
    pages = {
        "": answer(content, f"Content-Type: text/html; charset={encoding}"),
        "robots.txt": status("404 None"),
    }
    worker = ("scrapy", "work", "-s", careless_spiders.SETTING)
    with serve_hostile(pages) as site, running(*worker, env=place.env(PAGE_BACKOFF="10")):
        queue.push({"type": "full-crawl", "url": f"{site.url}/", "jobId": "job", "attempts": 1})
        wait_until(lambda: queue.has_ended("job"), 30, "the crawl ends")
    queue.assert_conserved("job")
    assert queue.state("job") == "completed", queue.errors("job")
    assert set(queue.recorded("job")) == {f"{site.url}/{name}" for name in ("", "a", "b")}
    [(url, error)] = queue.errors("job").items()
    assert (url, error["code"], error["attempt"]) == (f"{site.url}/fault", "parse_error", 1)
    assert "LookupError: no price here" in error["message"]
    assert site.paths.count("/fault") == 1
