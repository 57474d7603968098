"""Origins and cookie jars: what is remembered, and its limits."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.http import Response

from scraper.network.failures import BadRequestError, BadResponseError
from scraper.network.middlewares import JobCookiesMiddleware, PageRedirectMiddleware
from scraper.network.requests import Origin, Origins


def find(url: str, **meta: object) -> tuple[Origin, str]:
    async def case() -> tuple[Origin, str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        origins = Origins(verified=context, unverified=context)
        request = Request(url, meta={"verbatim_url": True, **meta})
        return origins.find(request, verify_tls=True)

    return asyncio.run(case())


@pytest.mark.parametrize(
    ("url", "host_line"),
    [
        ("http://Site.Example/", b"Host: site.example\r\n"),
        ("http://site.example:80/", b"Host: site.example\r\n"),
        ("https://site.example:443/", b"Host: site.example\r\n"),
        ("http://site.example:443/", b"Host: site.example:443\r\n"),
        ("HTTP://[2606:4700::1]:8080/", b"Host: [2606:4700::1]:8080\r\n"),
        ("http://bücher.example/", b"Host: xn--bcher-kva.example\r\n"),
        ("http://me:secret@site.example/", b"Host: site.example\r\n"),
    ],
)
def test_host_header_names_the_host(url: str, host_line: bytes) -> None:
    assert find(url)[0].host_line == host_line


@pytest.mark.parametrize(
    "url",
    ["http:///a", "http://:80/", "http://a:99999/", "http://a:x/", "http://[::1/", "http://@/"],
)
def test_url_without_a_usable_host_is_refused(url: str) -> None:
    with pytest.raises(BadRequestError):
        find(url)


def cookie_response(url: str, *cookies: str) -> Response:
    return Response(url, headers={"Set-Cookie": list(cookies)})


def send(middleware: JobCookiesMiddleware, url: str, jar: str) -> bytes | None:
    request = Request(url, meta={"cookiejar": jar})
    middleware.process_request(request)
    return request.headers.get("Cookie")


def receive(middleware: JobCookiesMiddleware, url: str, jar: str, *cookies: str) -> None:
    request = Request(url, meta={"cookiejar": jar})
    middleware.process_response(request, cookie_response(url, *cookies))


SITE = "https://www.site.example/"


def test_job_without_cookies_has_no_jar() -> None:
    middleware = JobCookiesMiddleware()
    assert send(middleware, SITE, "job") is None
    middleware.process_response(Request(SITE), Response(SITE))
    assert not middleware.jars


def test_cookie_goes_back_to_its_site_and_job_only() -> None:
    middleware = JobCookiesMiddleware()
    receive(middleware, SITE, "job", "a=1; Domain=site.example; Secure")
    assert send(middleware, SITE, "job") == b"a=1"
    assert send(middleware, "https://other.site.example/", "job") == b"a=1"
    assert send(middleware, "http://www.site.example/", "job") is None
    assert send(middleware, "https://www.other.example/", "job") is None
    assert send(middleware, SITE, "other job") is None


def test_cookie_for_a_public_suffix_is_not_kept() -> None:
    middleware = JobCookiesMiddleware()
    receive(middleware, "https://a.co.uk/", "job", "a=1; Domain=co.uk", "b=2; Domain=other.uk")
    assert send(middleware, "https://b.co.uk/", "job") is None


def test_forgotten_job_has_no_cookies() -> None:
    middleware = JobCookiesMiddleware()
    receive(middleware, SITE, "job", "a=1")
    middleware.forget("job")
    middleware.forget("never seen")
    assert send(middleware, SITE, "job") is None


def test_cookies_and_jars_are_bounded() -> None:
    middleware = JobCookiesMiddleware()
    receive(
        middleware, SITE, "job", *(f"c{number}=1" for number in range(1000)), "big=" + "x" * 5000
    )
    header = send(middleware, SITE, "job") or b""
    assert 0 < header.count(b"=") <= 200
    assert b"big" not in header
    for number in range(1500):
        receive(middleware, SITE, f"job {number}", "a=1")
    assert len(middleware.jars) == 1000


def redirect(location: str | bytes, **request: object) -> Request | Response:
    middleware = PageRedirectMiddleware.from_crawler(Crawler(Spider))
    asked = Request(SITE, **request)  # type: ignore[arg-type]
    response = Response(SITE, status=301, headers={"Location": location})
    return middleware.process_response(asked, response)


def test_redirect_keeps_referer_on_the_same_host_only() -> None:
    headers = {"Referer": "https://www.site.example/x", "Cookie": "a=1", "Host": "www.site.example"}
    same = redirect("/there", headers=headers)
    away = redirect("https://other.example/", headers=headers)
    assert isinstance(same, Request)
    assert isinstance(away, Request)
    assert same.headers["Referer"] == b"https://www.site.example/x"
    assert not set(away.headers) & {b"Referer", b"Cookie", b"Host"}


def test_location_in_other_bytes_is_escaped() -> None:
    target = redirect("/caf\u00e9 au lait".encode())
    assert isinstance(target, Request)
    assert target.url == "https://www.site.example/caf%C3%A9%20au%20lait"


def test_location_of_another_scheme_stays_a_response() -> None:
    assert isinstance(redirect("ftp://site.example/"), Response)


@pytest.mark.parametrize("location", ["http://[bad/", "mailto:me@site.example"])
def test_location_that_is_no_url_is_a_bad_response(location: str) -> None:
    with pytest.raises(BadResponseError):
        redirect(location)
