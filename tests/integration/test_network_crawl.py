"""Whole crawls: ours must be as Scrapy's own, down to what signals and pipelines see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

Seen = dict[str, list[str]]

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("network_crawl.py")
DEADLINE_S = 60
MODES = ("plain", "fast", "plain-middleware", "fast-middleware")


class SiteHandler(BaseHTTPRequestHandler):
    """A small site: pages, cookies, and an echo of the headers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        match path:
            case "/set-cookie":
                self._answer(200, {"Set-Cookie": "session=secret; Path=/"})
            case "/echo":
                wanted = ("Cookie", "Authorization")
                found = {name: self.headers[name] for name in wanted if name in self.headers}
                self._answer(200, {"Content-Type": "application/json"}, json.dumps(found).encode())
            case "/missing":
                self._answer(404)
            case "/hang-up":
                self.close_connection = True
            case _:
                self._answer(200)

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"<p>page</p>"
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SiteHandler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@cache
def crawl(mode: str, port: int) -> tuple[Seen, str]:
    done = subprocess.run(
        [sys.executable, SCRIPT, mode, f"http://127.0.0.1:{port}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    seen = {kind: sorted(notes) for kind, notes in report["seen"].items()}
    return seen, report["scraper"]


@pytest.fixture(scope="module")
def seen(port: int) -> dict[str, Seen]:
    """What each mode's crawl saw."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(MODES, pool.map(lambda mode: crawl(mode, port)[0], MODES), strict=True))


@pytest.mark.parametrize("suffix", ["", "-middleware"])
@pytest.mark.parametrize(
    "kind", ["url", "scraped", "dropped", "item_error", "spider_error", "received", "downloaded"]
)
def test_crawl_is_as_scrapys_own(seen: dict[str, Seen], suffix: str, kind: str) -> None:
    plain, fast = seen["plain" + suffix], seen["fast" + suffix]
    assert plain[kind]
    assert fast[kind] == plain[kind]


def test_every_request_leaves_the_downloader(seen: dict[str, Seen]) -> None:
    assert seen["fast"]["left"] == seen["plain"]["left"]


def test_spider_middleware_sees_the_output(seen: dict[str, Seen]) -> None:
    assert any("'tag': 'seen'" in item for item in seen["fast-middleware"]["scraped"])
    assert not any("tag" in item for item in seen["fast"]["scraped"])


def test_the_quick_scraper_is_in_place(port: int) -> None:
    assert crawl("fast", port)[1] == "SequentialScraper"
    assert crawl("plain", port)[1] == "Scraper"


def test_failures_have_their_codes(seen: dict[str, Seen], port: int) -> None:
    assert seen["fast"]["failure"] == [f"http://127.0.0.1:{port}/hang-up reset"]


def test_cookies_stay_with_their_job(seen: dict[str, Seen], port: int) -> None:
    site = f"http://127.0.0.1:{port}"
    headers = seen["fast"]["headers"]
    assert f'{site}/echo?job-a {{"Cookie": "session=secret"}}' in headers
    assert f"{site}/echo?job-b {{}}" in headers
    assert f'{site}/echo?own {{"Cookie": "mine=1"}}' in headers
