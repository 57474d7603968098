"""What the download handler makes of answers, and what it sends, on real connections."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from scrapy import Request, signals
from scrapy.exceptions import StopDownload
from scrapy.http import HtmlResponse, JsonResponse, Response, TextResponse, XmlResponse

from tests.support.network_site import (
    DEADLINE_S,
    Site,
    code_of,
    fetch_once,
    handling,
    page,
    run,
    running,
)

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
    [
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
    ],
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
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET"),
    ],
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
    [
        {"headers": {"X-A": "1\r\nX-Evil: 2"}},
        {"headers": {b"R\x00e\x00f": "utf-16"}},
        {"headers": {"X-A": "a\x00b"}},
        {"method": "GET / HTTP/1.1\r\nX-Evil: 2\r\n"},
        {"method": "CONNECT"},
        {"path": "/a b", "meta": {"verbatim_url": True}},
        {"path": "/a\r\nX-Evil: 1", "meta": {"verbatim_url": True}},
        {"path": "/caf\u00e9", "meta": {"verbatim_url": True}},
        {"path": "@", "meta": {"verbatim_url": True}},
    ],
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


# Scrapy's signals


@pytest.mark.parametrize(
    ("signal", "body"), [(signals.headers_received, b""), (signals.bytes_received, b"hello")]
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
