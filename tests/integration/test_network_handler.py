"""The download handler against real servers on loopback, well-behaved and not."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import StopDownload
from scrapy.http import HtmlResponse, JsonResponse, Response, TextResponse, XmlResponse

from scraper.network.errors import NetworkError
from scraper.network.failures import failure_code
from scraper.network.handler import PageDownloadHandler

MIB = 1024 * 1024
DEADLINE_S = 15.0

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def page(body: bytes = b"<p>hello</p>", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = (b"HTTP/1.1 " + status, b"Content-Type: text/html", *headers)
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))


class Site:
    """A server that gives `answers` in turn, then the last one again; None hangs up."""

    def __init__(self, *answers: Answer | None) -> None:
        self._answers = list(answers)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.origin = ""

    @property
    def targets(self) -> list[bytes]:
        return [head.split(b" ")[1] for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                if answer is None:
                    break
                if isinstance(answer, bytes):
                    writer.write(answer)
                    if b"Connection: close" in answer:
                        break
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    site.origin = f"http://{host}:{port}"
    try:
        yield site
    finally:
        server.close()
        for writer in site.writers:
            writer.close()


def new_handler(**settings: object) -> PageDownloadHandler:
    defaults = {"ALLOW_PRIVATE_HOSTS": ["127.0.0.0/8"], "DOWNLOAD_MAXSIZE": MIB}
    crawler = Crawler(Spider, {**defaults, "DOWNLOAD_TIMEOUT": 5, **settings})
    return PageDownloadHandler(crawler)


@asynccontextmanager
async def handling(**settings: object) -> AsyncIterator[PageDownloadHandler]:
    handler = new_handler(**settings)
    try:
        yield handler
    finally:
        await handler.close()


async def code_of(fetch: Coroutine[Any, Any, Response]) -> str:
    with pytest.raises(NetworkError) as caught:
        await fetch
    return failure_code(caught.value)


def run(case: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await case

    asyncio.run(limited())


def fetch_once(*answers: Answer | None, path: str = "/", **request: Any) -> Response:
    """The response of one request to a site that gives `answers`."""
    result: list[Response] = []

    async def case() -> None:
        async with running(Site(*answers)) as site, handling() as handler:
            result.append(await handler.download_request(Request(site.origin + path, **request)))

    run(case())
    return result[0]


def fail_once(*answers: Answer | None, path: str = "/", **request: Any) -> str:
    """The failure code of one request to a site that gives `answers`."""
    result: list[str] = []

    async def case() -> None:
        async with running(Site(*answers)) as site, handling() as handler:
            asked = Request(site.origin + path, **request)
            result.append(await code_of(handler.download_request(asked)))
            assert asked.meta["elapsed_ms"] >= 0

    run(case())
    return result[0]


async def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection with a reset in place of a regular end."""
    await writer.drain()
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# What arrives


def test_page_arrives_whole_with_timings() -> None:
    request_meta: dict[str, Any] = {}

    async def case() -> None:
        async with running(Site(page(b"<h1>hi</h1>"))) as site, handling() as handler:
            request = Request(f"{site.origin}/a?b=c#part")
            response = await handler.download_request(request)
            request_meta.update(request.meta)
            assert isinstance(response, HtmlResponse)
            assert response.css("h1::text").get() == "hi"
            assert (response.status, response.url) == (200, request.url)
            assert str(response.ip_address) == "127.0.0.1"
            assert response.protocol == "HTTP/1.1"
            assert site.targets == [b"/a?b=c"]

    run(case())
    assert 0 < request_meta["download_latency"] < DEADLINE_S
    assert request_meta["elapsed_ms"] >= 0


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    (
        (b"Content-Type: text/html; charset=utf-8", b"{}", HtmlResponse),
        (b"content-type: TEXT/HTML", b"<p>", HtmlResponse),
        (b"Content-Type: application/xhtml+xml", b"<p>", HtmlResponse),
        (b"Content-Type: application/rss+xml", b"<r/>", XmlResponse),
        (b"Content-Type: image/svg+xml", b"<svg/>", XmlResponse),
        (b"Content-Type: application/json", b"<p>not json</p>", JsonResponse),
        (b"Content-Type: application/ld+json", b"{}", JsonResponse),
        (b"Content-Type: text/plain", b"<p>", TextResponse),
        (b"Content-Type: image/png", b"<html>", Response),
        (b"Content-Type: html", b"<!doctype html><html></html>", HtmlResponse),
        (b"X-None: 1", b"<!doctype html><html></html>", HtmlResponse),
        (b"X-None: 1", b"\x00\x01\x02\xff", Response),
    ),
)
def test_class_follows_content_type_else_the_body(
    header: bytes, body: bytes, expected: type[Response]
) -> None:
    answer = b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: %d\r\n\r\n%b" % (header, len(body), body)
    assert type(fetch_once(answer)) is expected


def test_header_bytes_arrive_as_they_were_sent() -> None:
    answer = page(
        b"", b"X-Utf: caf\xc3\xa9", b"X-Latin: caf\xe9", b"Set-Cookie: a=1", b"set-cookie: b=2"
    )
    headers = fetch_once(answer).headers
    assert headers["X-Utf"] == b"caf\xc3\xa9"
    assert headers["x-latin"] == b"caf\xe9"
    assert headers.getlist("Set-Cookie") == [b"a=1", b"b=2"]


def test_chunked_body_is_joined() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n"
        b"5\r\nhello\r\n6;note=x\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    assert fetch_once(answer).body == b"hello world"


def test_body_without_length_ends_with_the_connection() -> None:
    assert fetch_once(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it").body == b"all of it"
    assert fetch_once(b"HTTP/1.0 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nold").body == b"old"


def test_informational_answer_is_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    assert fetch_once(early + page(b"real")).body == b"real"


@pytest.mark.parametrize(
    ("answer", "method"),
    (
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET"),
    ),
)
def test_answer_without_body_is_whole_and_keeps_the_connection(answer: bytes, method: str) -> None:
    async def case() -> None:
        async with running(Site(answer)) as site, handling() as handler:
            for _ in range(2):
                response = await handler.download_request(Request(site.origin, method=method))
                assert response.body == b""
            assert site.connections == 1

    run(case())


def test_redirect_is_not_followed() -> None:
    response = fetch_once(page(b"", b"Location: /elsewhere", status=b"302 Found"))
    assert response.status == 302
    assert response.headers["Location"] == b"/elsewhere"


def test_compressed_body_arrives_plain() -> None:
    response = fetch_once(page(gzip.compress(b"<p>" + b"x" * 5000), b"Content-Encoding: gzip"))
    assert response.body == b"<p>" + b"x" * 5000
    assert "Content-Encoding" not in response.headers


# What is sent


def test_target_is_sent_exactly_as_given() -> None:
    async def case() -> None:
        targets = ["/%7Euser//a/../b;p?q=%20%2F&x=a+b&[]=|", "/?", "", "?only=query"]
        async with running(Site(page())) as site, handling() as handler:
            for target in targets:
                url = site.origin + target
                await handler.download_request(Request(url, meta={"verbatim_url": True}))
            assert site.targets == [
                b"/%7Euser//a/../b;p?q=%20%2F&x=a+b&[]=|",
                b"/?",
                b"/",
                b"/?only=query",
            ]

    run(case())


def test_default_headers_are_sent_and_replaced_by_the_requests_own() -> None:
    async def case() -> None:
        settings = {"USER_AGENT": "Bot/1 (+https://bot.example)"}
        async with running(Site(page())) as site, handling(**settings) as handler:
            await handler.download_request(Request(site.origin))
            own = {"User-Agent": "Mine", "Accept-Language": None, "X-Many": ["1", "2"]}
            await handler.download_request(Request(site.origin, headers=own))
            plain, changed = site.heads
            assert b"\r\nUser-Agent: Bot/1 (+https://bot.example)\r\n" in plain
            assert b"\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" in plain
            assert b"\r\nAccept-Language: en\r\n" in plain
            assert plain.count(b"Host: ") == 1
            assert b"\r\nUser-Agent: Mine\r\n" in changed
            assert b"Bot/1" not in changed
            assert b"Accept-Language" not in changed
            assert b"\r\nX-Many: 1\r\nX-Many: 2\r\n" in changed

    run(case())


def test_method_and_body_are_sent() -> None:
    async def case() -> None:
        async with running(Site(page())) as site, handling() as handler:
            asked = {"method": "POST", "body": b"a=1&b=2", "headers": {"Content-Length": "999"}}
            await handler.download_request(Request(site.origin, **asked))  # type: ignore[arg-type]
            await handler.download_request(Request(site.origin, method="POST"))
            assert site.heads[0].startswith(b"POST / HTTP/1.1\r\n")
            assert site.heads[0].count(b"Content-Length") == 1
            assert site.bodies == [b"a=1&b=2", b""]

    run(case())


def test_credentials_in_the_url_become_a_header_for_that_host_only() -> None:
    async def case() -> None:
        async with running(Site(page())) as site, handling() as handler:
            secret = site.origin.replace("http://", "http://me:p%40ss@")
            await handler.download_request(Request(secret))
            await handler.download_request(Request(site.origin))
            assert b"\r\nAuthorization: Basic bWU6cEBzcw==\r\n" in site.heads[0]
            assert b"me:" not in site.heads[0]
            assert b"Authorization" not in site.heads[1]

    run(case())


@pytest.mark.parametrize(
    "request_args",
    (
        {"headers": {"X-A": "1\r\nX-Evil: 2"}},
        {"headers": {b"R\x00e\x00f": "utf-16"}},
        {"headers": {"X-A": "a\x00b"}},
        {"method": "GET / HTTP/1.1\r\nX-Evil: 2\r\n"},
        {"method": "CONNECT"},
        {"path": "/a b", "meta": {"verbatim_url": True}},
        {"path": "/a\r\nX-Evil: 1", "meta": {"verbatim_url": True}},
        {"path": "/caf\u00e9", "meta": {"verbatim_url": True}},
        {"path": "@", "meta": {"verbatim_url": True}},
    ),
)
def test_request_that_would_break_http_is_not_sent(request_args: dict[str, Any]) -> None:
    async def case() -> None:
        async with running(Site(page())) as site, handling() as handler:
            path = request_args.pop("path", "/")
            request = Request(site.origin + path, **request_args)
            assert await code_of(handler.download_request(request)) == "bad_request"
            assert site.heads == []

    run(case())


def test_other_schemes_are_refused() -> None:
    async def case() -> None:
        async with handling() as handler:
            for url in ("ftp://site.example/", "file:///etc/passwd", "data:text/plain,x"):
                code = await code_of(handler.download_request(Request(url)))
                assert code == "unsupported_scheme"

    run(case())


# Connections


def test_connection_is_kept_and_survives_error_pages() -> None:
    async def case() -> None:
        site = Site(page(), page(status=b"404 Not Found"), page(status=b"500 Oops"), page())
        async with running(site), handling() as handler:
            got = [(await handler.download_request(Request(site.origin))).status for _ in range(4)]
            assert got == [200, 404, 500, 200]
            assert site.connections == 1

    run(case())


def test_fetching_goes_on_after_a_broken_exchange() -> None:
    async def case() -> None:
        site = Site(page(bytes(2 * MIB)), b"garbage\r\n\r\n", page(b"fine"))
        async with running(site), handling() as handler:
            codes = [await code_of(handler.download_request(Request(site.origin))) for _ in "ab"]
            assert codes == ["too_large", "bad_response"]
            assert (await handler.download_request(Request(site.origin))).body == b"fine"
            assert site.connections == 3

    run(case())


def test_idle_connection_that_the_server_dropped_costs_no_failure() -> None:
    async def case() -> None:
        site = Site(page(b"one"), None, page(b"two"))
        async with running(site), handling() as handler:
            assert (await handler.download_request(Request(site.origin))).body == b"one"
            assert (await handler.download_request(Request(site.origin))).body == b"two"
            assert site.connections == 2

    run(case())


def test_post_is_never_sent_twice() -> None:
    async def case() -> None:
        site = Site(page(b"one"), None, page(b"two"))
        async with running(site), handling() as handler:
            await handler.download_request(Request(site.origin))
            post = Request(site.origin, method="POST", body="x")
            assert await code_of(handler.download_request(post)) == "reset"
            assert len(site.heads) == 2

    run(case())


def test_bytes_that_nobody_asked_for_never_become_an_answer() -> None:
    async def case() -> None:
        async with running(Site(page(b"one"))) as site, handling() as handler:
            await handler.download_request(Request(site.origin))
            site.writers[0].write(page(b"poison"))
            await site.writers[0].drain()
            # One exchange on another connection, so that the poison has arrived too.
            async with running(Site(page(b"other"))) as other:
                await handler.download_request(Request(other.origin))
            assert (await handler.download_request(Request(site.origin))).body == b"one"

    run(case())


# Failures


def test_bomb_is_refused_within_bounded_memory() -> None:
    sent = 0

    async def bomb(writer: asyncio.StreamWriter) -> None:
        # 10 GB of zeros; the client hangs up long before the end.
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
        member = gzip.compress(bytes(10 * MIB))
        for _ in range(1000):
            writer.write(member)
            await writer.drain()
            sent += 1

    tracemalloc.start()
    try:
        assert fail_once(bomb) == "too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * MIB
    assert sent < 1000


@pytest.mark.parametrize(
    "answer",
    (
        page(bytes(2 * MIB)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(2 * MIB),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + bytes(2 * MIB),
    ),
    ids=("length", "announced", "until-close", "chunked"),
)
def test_body_over_the_limit_is_refused(answer: bytes) -> None:
    assert fail_once(answer) == "too_large"


def test_limit_can_be_set_by_request() -> None:
    assert fail_once(page(bytes(100)), meta={"download_maxsize": 99}) == "too_large"
    assert fetch_once(page(bytes(100)), meta={"download_maxsize": 100}).body == bytes(100)


def test_drip_ends_at_the_total_time_out() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    started_s = time.monotonic()
    assert fail_once(drip, meta={"download_timeout": 0.3}) == "timeout"
    assert time.monotonic() - started_s < 3


def test_silence_ends_at_the_total_time_out() -> None:
    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    assert fail_once(silence, meta={"download_timeout": 0.2}) == "timeout"


async def reset_in_body_without_length(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of")
    await reset(writer)


async def reset_in_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")
    await reset(writer)


CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
HALF_GZIP = gzip.compress(b"<p>half</p>" * 100)[:-9]


@pytest.mark.parametrize(
    "answer",
    (
        CLOSED + b"Content-Length: 100\r\n\r\nhalf of",
        CLOSED + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        CLOSED + b"Transfer-Encoding: chunked\r\n\r\n50\r\nhello",
        CLOSED + b"Content-Encoding: gzip\r\n\r\n" + HALF_GZIP,
        page(HALF_GZIP, b"Content-Encoding: gzip"),
        reset_in_body,
        reset_in_body_without_length,
    ),
    ids=("length", "no-last-chunk", "in-chunk", "gzip", "gzip-length", "reset", "reset-no-length"),
)
def test_part_of_a_body_is_a_failure(answer: Answer) -> None:
    assert fail_once(answer) == "truncated"


@pytest.mark.parametrize("answer", (None, reset), ids=("closed", "reset"))
def test_connection_dropped_before_the_answer_is_a_reset(answer: Answer | None) -> None:
    assert fail_once(answer) == "reset"


def test_closed_port_is_refused() -> None:
    async def case() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with handling() as handler:
            request = Request(f"http://127.0.0.1:{port}/")
            assert await code_of(handler.download_request(request)) == "refused"

    run(case())


@pytest.mark.parametrize("host", ("a" * 64 + ".example", "a..example"))
def test_name_that_cannot_exist_is_a_failure_of_its_page(host: str) -> None:
    async def case() -> None:
        async with handling() as handler:
            request = Request(f"http://{host}/", meta={"verbatim_url": True})
            code = await code_of(handler.download_request(request))
            assert code in ("dns", "bad_request")

    run(case())


@pytest.mark.parametrize(
    "answer",
    (
        b"hello, this is not http\r\n\r\n",
        b"HTTP/1.1 999999 Huge\r\n\r\n",
        page(b"", *(b"X-%d: 1" % number for number in range(500))),
        page(b"", b"X-Huge: " + b"x" * 100_000),
        page(b"", b"Content-Length: 5"),
        CLOSED + b"Content-Length: -5\r\n\r\n",
    ),
    ids=("no-http", "status", "many-headers", "huge-header", "two-lengths", "negative"),
)
def test_what_is_not_sane_http_is_a_bad_response(answer: bytes) -> None:
    assert fail_once(answer) == "bad_response"


def test_large_but_sane_headers_pass() -> None:
    assert fetch_once(page(b"ok", b"Content-Security-Policy: " + b"x" * 20_000)).body == b"ok"


def test_wrong_content_encoding_is_undecodable() -> None:
    assert fail_once(page(b"<p>plain</p>", b"Content-Encoding: gzip")) == "undecodable"


# Scrapy's signals


@pytest.mark.parametrize(
    ("signal", "body"), ((signals.headers_received, b""), (signals.bytes_received, b"hello"))
)
def test_download_can_be_stopped_by_a_signal(signal: object, body: bytes) -> None:
    def stop() -> None:
        raise StopDownload(fail=False)

    async def case() -> None:
        async with running(Site(page(b"hello"))) as site, handling() as handler:
            handler.crawler.signals.connect(stop, signal)
            response = await handler.download_request(Request(site.origin))
            assert response.body == body
            assert response.flags == ["download_stopped"]

    run(case())
