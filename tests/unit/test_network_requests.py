"""Origins and cookie jars: what is remembered, and its limits."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from scrapy import Request
from scrapy.http import Response

from scraper.network.failures import BadRequestError
from scraper.network.middlewares import JobCookies, JobCookiesMiddleware
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


def send(middleware: JobCookiesMiddleware, url: str, jar: str | JobCookies) -> bytes | None:
    request = Request(url, meta={"cookiejar": jar})
    middleware.process_request(request)
    return request.headers.get("Cookie")


def receive(
    middleware: JobCookiesMiddleware, url: str, jar: str | JobCookies, *cookies: str
) -> None:
    request = Request(url, meta={"cookiejar": jar})
    middleware.process_response(request, cookie_response(url, *cookies))


def kept(cookies: JobCookies) -> int:
    return 0 if cookies.jar is None else len(cookies.jar)


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


def test_jar_of_a_job_is_used_and_not_kept_here() -> None:
    middleware = JobCookiesMiddleware()
    jar, other = JobCookies(), JobCookies()
    receive(middleware, SITE, jar, "a=1")
    assert send(middleware, SITE, jar) == b"a=1"
    assert send(middleware, SITE, other) is None
    assert not middleware.jars


def test_job_cookies_are_bounded_by_count_and_by_size() -> None:
    middleware = JobCookiesMiddleware(max_cookies=10, max_bytes=1000)
    jar = JobCookies()
    for number in range(30):
        receive(middleware, f"https://host{number}.example/", jar, "a=1")
    assert kept(jar) == 10
    jar = JobCookies()
    receive(middleware, SITE, jar, *(f"c{number}={'x' * 300}" for number in range(30)))
    assert kept(jar) == 3


def test_path_and_attributes_of_a_cookie_count_as_well() -> None:
    middleware = JobCookiesMiddleware()
    jar = JobCookies()
    receive(middleware, SITE, jar, f"a=1; Path=/{'p' * 30_000}", f"b=1; {'x' * 30_000}=1")
    assert kept(jar) == 0


def test_cookie_that_is_there_changes_also_when_the_jar_is_full() -> None:
    middleware = JobCookiesMiddleware(max_cookies=2)
    jar = JobCookies()
    receive(middleware, SITE, jar, "session=1", "b=1", "c=1")
    receive(middleware, SITE, jar, "session=2")
    assert send(middleware, SITE, jar) in (b"session=2; b=1", b"b=1; session=2")


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
