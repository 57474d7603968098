"""Cookies are a job's own: by the ledger of a site that sets them for everybody."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until

CUSTOMERS = ("acme", "rival")
PAGES = 30


class CookieSite:
    """Below /<customer>/ it sets `who=<customer>` on each page and links to the others; the ledger
    has (path, Host, Cookie, Authorization) of each request."""

    def __init__(self) -> None:
        self.ledger: list[tuple[str, str, str, str]] = []
        self.port = 0

    def headers_and_body(self, path: str) -> tuple[int, dict[str, str], bytes]:
        customer = path.split("/")[1]
        headers = {"Set-Cookie": f"who={customer}; Path=/", "Content-Type": "text/html"}
        if path.endswith("/away"):
            return 302, {**headers, "Location": f"http://localhost:{self.port}/landing"}, b""
        links = "".join(f'<a href="/{customer}/{n}">{n}</a>' for n in range(PAGES))
        return 200, headers, f"<!doctype html><title>x</title>{links}".encode()


@pytest.fixture
def site() -> Iterator[CookieSite]:
    served = CookieSite()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/robots.txt":
                self.send_error(404)
                return
            host, cookie, login = (
                self.headers.get(name, "") for name in ("Host", "Cookie", "Authorization")
            )
            served.ledger.append((self.path, host, cookie, login))
            status, headers, body = served.headers_and_body(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """The ledger is enough."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_of_two_customers_never_share_cookies(
    place: QueuePlace, site: CookieSite, workers: int
) -> None:
    with (
        contextlib.closing(QueueReader(place.url, place.name)) as queue,
        running("scrapy", "work", env=place.env(WORKER_CONCURRENCY="4"), count=workers),
    ):
        for customer in CUSTOMERS:
            queue.push(
                {"type": "full-crawl", "url": f"http://127.0.0.1:{site.port}/{customer}/0",
                 "customerId": customer, "jobId": customer, "includePaths": [f"/{customer}/**"]}
            )  # fmt: skip
        wait_until(lambda: all(map(queue.has_ended, CUSTOMERS)), 40, "both jobs end")
        assert [queue.done(customer) for customer in CUSTOMERS] == [PAGES, PAGES]
        # A later job of the same customer, in the same worker, begins without any.
        queue.push(
            {"type": "single-page", "url": f"http://127.0.0.1:{site.port}/acme/again", "jobId": "b",
             "customerId": "acme"}
        )  # fmt: skip
        wait_until(lambda: queue.has_ended("b"), what="the later job ends")
    cookies = {customer: [] for customer in (*CUSTOMERS, "again")}  # type: dict[str, list[str]]
    for path, _, cookie, _ in site.ledger:
        cookies["again" if path.endswith("again") else path.split("/")[1]].append(cookie)
    for customer in CUSTOMERS:
        assert set(cookies[customer]) == {"", f"who={customer}"}
        # Each worker has none at its first pages, and then those that were set.
        assert cookies[customer].count("") < PAGES / 2
    assert cookies["again"] == [""]


def test_no_cookie_goes_along_with_a_redirect_to_another_host(
    place: QueuePlace, site: CookieSite
) -> None:
    with (
        contextlib.closing(QueueReader(place.url, place.name)) as queue,
        running("scrapy", "work", env=place.env(ALLOW_PRIVATE_HOSTS="127.0.0.0/8,::1")),
    ):
        queue.push(
            {"type": "full-crawl", "url": f"http://127.0.0.1:{site.port}/acme/away", "jobId": "a",
             "maxPages": 2}
        )  # fmt: skip
        wait_until(lambda: queue.has_ended("a"), 30, "the job ends")
    landed = [(host, cookie) for path, host, cookie, _ in site.ledger if path == "/landing"]
    assert landed == [(f"localhost:{site.port}", "")]
