"""A server on loopback that breaks HTTP, HTML and good manners, each path in its own way."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import socketserver
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator

Misdeed = Callable[[socket.socket], None]

END_S = 20.0
"""How long an endless answer goes on if nobody ends it."""


def answer(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None
) -> Misdeed:
    """One whole answer; `length` None: the true one."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: text/html; charset=utf-8")
    head = "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode("latin-1")
    return raw(head + body)


def raw(content: bytes) -> Misdeed:
    """These bytes, whatever they are."""
    return lambda connection: connection.sendall(content)


def endless(head: bytes, part: bytes, pause_s: float) -> Misdeed:
    """`part` again and again."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        end_s = time.monotonic() + END_S
        while time.monotonic() < end_s:
            connection.sendall(part)
            if pause_s:
                time.sleep(pause_s)

    return send


def reset(connection: socket.socket) -> None:
    """RST in mid-answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<p>")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def redirect(location: str) -> Misdeed:
    return answer(b"", f"Location: {location}", status="302 Found")


_hops = itertools.count()


def page(*links: str, head: str = "", body: str = "") -> bytes:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return f"<!doctype html><html><head>{head}</head><body>{body}{anchors}</body></html>".encode()


def gzip_bomb(mebibytes: int) -> bytes:
    """So many zeros. One mebibyte is packed and repeated: to pack them all takes seconds."""
    zeros, check = bytes(1 << 20), 0
    pack = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    part = pack.compress(zeros) + pack.flush(zlib.Z_FULL_FLUSH)
    for _ in range(mebibytes):
        check = zlib.crc32(zeros, check)
    end = pack.flush() + struct.pack("<II", check, mebibytes << 20)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + part * mebibytes + end


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

# Path -> what it does, and the codes of which one must be its outcome ("" = recorded).
PAGES: dict[str, tuple[Misdeed, set[str]]] = {
    "redirects": (lambda c: redirect(f"/redirects?{next(_hops)}")(c), {"too_many_redirects"}),
    "redirect-to-itself": (redirect("/redirect-to-itself"), {"too_many_redirects"}),
    "redirect-nowhere": (redirect("http://[/"), {"bad_redirect"}),
    "redirect-to-ftp": (redirect("ftp://127.0.0.1/"), {"bad_redirect"}),
    "redirect-without-target": (answer(status="302 Found"), {"http_302"}),
    "huge-announced": (answer(b"x" * 100, length=1 << 40), {"too_large", "truncated"}),
    "huge-streamed": (
        endless(STREAM + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK, 0), {"too_large"},
    ),
    "drip": (endless(STREAM + b"\r\n", b"x", 0.1), {"timeout"}),
    "drip-in-the-head": (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.1), {"timeout"}),
    "silence": (endless(b"", b"", 0.1), {"timeout"}),
    "bomb": (answer(gzip_bomb(200), "Content-Encoding: gzip"), {"too_large"}),
    "double-bomb": (
        answer(gzip.compress(gzip_bomb(200)), "Content-Encoding: gzip, gzip"),
        {"too_large", "undecodable"},
    ),
    "no-gzip": (answer(b"<p>plain", "Content-Encoding: gzip"), {"undecodable"}),
    "unknown-encoding": (answer(b"<p>plain", "Content-Encoding: rot13"), {"undecodable", ""}),
    "half-gzip": (
        answer(gzip.compress(b"<p>" * 9_000)[:30], "Content-Encoding: gzip"),
        {"undecodable", "truncated"},
    ),
    "deep": (answer(b"<div>" * 200_000), {"", "parse_limit"}),
    "deep-inline": (answer(b"<b><i>" * 50_000), {"", "parse_limit"}),
    "attributes": (answer(b"<p " + b"a=b " * 500_000 + b">"), {"", "parse_limit"}),
    "long-title": (answer(page(head=f"<title>{'t' * 5_000_000}</title>")), {"", "too_large"}),
    "open-comment": (answer(b"<!--" * 200_000), {""}),
    "nul-bytes": (answer(page(body="a\0b" * 1000)), {""}),
    "not-html": (answer(bytes(range(256)) * 100), {""}),
    "utf-16": (
        answer(page(head="<title>sixteen</title>").decode().encode("utf-16"), "Content-Type: "
               "text/html; charset=utf-16"),
        {""},
    ),
    "utf-16-by-mark": (
        answer("<title>ü</title>".encode("utf-16"), "Content-Type: text/html"), {""},
    ),
    "wrong-charset": (
        answer(b"<title>caf\xe9</title>", "Content-Type: text/html; charset=utf-8"),
        {""},
    ),
    "unknown-charset": (answer(b"<p>x", "Content-Type: text/html; charset=x-none"), {""}),
    "odd-content-type": (answer(b"<p>x", "Content-Type: ;;;\xff"), {""}),
    "many-headers": (answer(b"x", *(f"X-{n}: y" for n in range(5_000))), {"", "bad_response"}),
    "long-header": (answer(b"x", f"X: {'y' * 1_000_000}"), {"bad_response"}),
    "reset": (reset, {"reset", "truncated", "connection"}),
    "closed": (raw(b""), {"reset", "connection"}),
    "truncated": (answer(b"<p>half", length=1_000), {"truncated"}),
    "broken-chunk": (
        raw(STREAM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n"),
        {"bad_response", "truncated"},
    ),
    "no-http": (raw(b"\x16\x03\x01 what?\r\n\r\n"), {"bad_response"}),
    "length-is-text": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx"), {"bad_response"},
    ),
    "status-is-text": (raw(b"HTTP/1.1 yes OK\r\n\r\n"), {"bad_response"}),
    "no-content": (answer(status="204 No Content"), {""}),
    "teapot": (answer(status="418 I'm a teapot"), {"http_418"}),
    "status-999": (answer(status="999 No"), {"http_999", "bad_response"}),
}  # fmt: skip


class HostileSite(socketserver.ThreadingTCPServer):
    """Serves `pages` by path (without its query); anything else is a good page."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, pages: dict[str, Misdeed]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.times: list[tuple[float, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, in its order."""
        return [path for _, path in self.times]

    def handle_error(self, *args: object) -> None:
        """Clients that hang up are what this is about."""


class _Handler(socketserver.BaseRequestHandler):
    server: HostileSite

    def handle(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            part = self.request.recv(65536)
            if not part:
                return
            request += part
        path = request.split(b" ", 2)[1].decode("latin-1")
        self.server.times.append((time.monotonic(), path))
        self.server.pages.get(path.partition("?")[0].strip("/"), answer(page()))(self.request)


@contextlib.contextmanager
def serve_hostile(pages: dict[str, Misdeed]) -> Iterator[HostileSite]:
    """Serve while the block runs."""
    with HostileSite(pages) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
