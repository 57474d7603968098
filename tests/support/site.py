"""A real HTTP server on loopback whose pages tests write, with a ledger of what it served."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Answer:
    """What the site answers: `body` as it goes out; `delay_s` before it does."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = "text/html; charset=utf-8"
    delay_s: float = 0.0


Page = Answer | Callable[[str], Answer]


def html(*links: str, title: str = "page", text: str = "") -> Answer:
    """A page with these links."""
    anchors = "".join(f'<a href="{link}">{link}</a>\n' for link in links)
    head = f"<!doctype html><html lang=en><head><title>{title}</title></head>"
    return Answer(f"{head}<body><main><p>{text}</p>{anchors}</main></body></html>".encode())


class Site:
    """Serves `pages` (path with query -> answer); anything else is 404. `default` serves all.

    A robots.txt that is not among the pages is 404, and its fetches stand in no ledger of pages.
    """

    def __init__(self, pages: Mapping[str, Page], default: Callable[[str], Answer] | None) -> None:
        self.pages = dict(pages)
        self.default = default
        self.hits: Counter[str] = Counter()
        self.robots_hits = 0
        self.times: list[tuple[float, str]] = []
        self.open_now = 0
        self.most_open = 0
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, path: str) -> Answer:
        if path == "/robots.txt" and path not in self.pages:
            self.robots_hits += 1
            return Answer(b"not found", status=404)
        with self.lock:
            self.hits[path] += 1
            self.times.append((time.monotonic(), path))
        page = self.pages.get(path)
        if page is None:
            return self.default(path) if self.default else Answer(b"not found", status=404)
        return page(path) if callable(page) else page


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body go out in two writes: the second would wait 40 ms for an acknowledgement.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            with site.lock:
                site.open_now += 1
                site.most_open = max(site.most_open, site.open_now)
            try:
                self._send(site.answer(self.path))
            finally:
                with site.lock:
                    site.open_now -= 1

        def do_POST(self) -> None:
            """A receiver of webhooks: what it is sent is not kept."""
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def _send(self, answer: Answer) -> None:
            if answer.delay_s:
                time.sleep(answer.delay_s)
            self.send_response(answer.status)
            if answer.content_type:
                self.send_header("Content-Type", answer.content_type)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in answer.headers:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: object) -> None:
            """The ledger is enough."""

    return Handler


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *args: object) -> None:
        """Clients that die in mid-answer are what these tests are about."""


@contextlib.contextmanager
def serve(
    pages: Mapping[str, Page] | None = None,
    default: Callable[[str], Answer] | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Site]:
    """Serve while the block runs."""
    site = Site(pages or {}, default)
    with _Server((host, 0), _handler(site)) as server:
        site.url = f"http://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def tree(pages: int, fan_out: int = 10, delay_s: float = 0.0) -> Callable[[str], Answer]:
    """A site of `pages` pages: /0 links to /1 ... /10, /1 to /11 ... /20, and each back to /0."""

    def answer(path: str) -> Answer:
        text = path.strip("/") or "0"
        number = int(text) if text.isdigit() else pages
        if number >= pages:
            return Answer(b"not found", status=404)
        first = number * fan_out + 1
        links = [f"/{child}" for child in range(first, min(first + fan_out, pages))]
        page = html("/0", *links, title=f"Page {number}")
        page.delay_s = delay_s
        return page

    return answer
