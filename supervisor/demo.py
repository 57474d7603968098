"""A small site on loopback, so that the first crawl needs no network."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

SITE = Path(__file__).parent / "demo_site"


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Nothing: the crawl shows its own progress."""


@contextlib.contextmanager
def serve_demo() -> Iterator[str]:
    """Serve the demonstration site on a free port while the block runs; yields its URL."""
    handler = functools.partial(_QuietHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
