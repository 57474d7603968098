"""The downloader middleware of page fetches: cookies, kept apart by job.

It costs one comparison on a page that deals in no cookies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http.cookiejar import Cookie
from typing import Any, Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.exceptions import NotConfigured
from scrapy.http import Response
from scrapy.http.cookies import CookieJar
from scrapy.utils.httpobj import urlparse_cached
from tldextract import TLDExtract

# The jars of this many keys are kept that are no jars themselves.
_MAX_JARS = 1000
# What browsers keep a site, and a cookie, at most.
_MAX_COOKIES = 180
_MAX_COOKIE_BYTES = 4096
# A job's, unless MAX_JOB_COOKIES and MAX_JOB_COOKIE_BYTES say otherwise.
_MAX_JOB_COOKIES = 500
_MAX_JOB_COOKIE_BYTES = 128 * 1024

# Without its list of addresses, tldextract uses the public suffix list that it came with;
# with it, the first cookie would block the event loop on a download.
_split_domain = TLDExtract(suffix_list_urls=(), include_psl_private_domains=True)


class JobCookies:
    """A job's cookies: `request.meta["cookiejar"]` of its requests. Most jobs never get any, so the
    jar is made by the first one."""

    __slots__ = ("jar",)

    def __init__(self) -> None:
        self.jar: CookieJar | None = None


class JobCookiesMiddleware(CookiesMiddleware):
    """Cookies by `request.meta["cookiejar"]`: a `JobCookies`, which ends with its job; or any key.

    A key's jar exists from the first cookie on. Settings: `MAX_JOB_COOKIES`, and
    `MAX_JOB_COOKIE_BYTES` (their names, values and attributes), both of one jar.
    """

    jars: _Jars

    def __init__(
        self,
        debug: bool = False,
        max_cookies: int = _MAX_JOB_COOKIES,
        max_bytes: int = _MAX_JOB_COOKIE_BYTES,
    ) -> None:
        super().__init__(debug)
        self.jars = _Jars()
        self._max_cookies = max_cookies
        self._max_bytes = max_bytes

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        settings = crawler.settings
        if not settings.getbool("COOKIES_ENABLED"):
            raise NotConfigured
        return cls(
            settings.getbool("COOKIES_DEBUG"),
            settings.getint("MAX_JOB_COOKIES", _MAX_JOB_COOKIES),
            settings.getint("MAX_JOB_COOKIE_BYTES", _MAX_JOB_COOKIE_BYTES),
        )

    def process_request(self, request: Request) -> Request | Response | None:  # type: ignore[override]
        """Add the Cookie header, if the job has a cookie for this URL."""
        if not request.cookies and not self.jars.has_cookies(request.meta.get("cookiejar")):
            return None
        return super().process_request(request)

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """Keep the cookies that the response sets."""
        if b"Set-Cookie" not in response.headers:
            return response
        return super().process_response(request, response)

    def _process_cookies(
        self, cookies: Iterable[Cookie], *, jar: CookieJar, request: Request
    ) -> None:
        # As in Scrapy, which would look the public suffix up in the network; and with limits.
        host = (urlparse_cached(request).hostname or "").lower()
        for cookie in cookies:
            domain = cookie.domain.removeprefix(".")
            if domain and not _split_domain(domain).domain:
                if domain != host:
                    continue
                cookie.domain = host
            if self._has_room(jar, cookie):
                jar.set_cookie_if_ok(cookie, request)

    def _has_room(self, jar: CookieJar, cookie: Cookie) -> bool:
        size_bytes = _size(cookie)
        if size_bytes > _MAX_COOKIE_BYTES:
            return False
        of_site = jar._cookies.get(cookie.domain, {})
        known = of_site.get(cookie.path, {}).get(cookie.name)
        if known is not None:
            # A cookie that is there already may always change, as a session's does.
            size_bytes -= _size(known)
        elif sum(map(len, of_site.values())) >= _MAX_COOKIES or len(jar) >= self._max_cookies:
            return False
        return sum(map(_size, jar)) + size_bytes <= self._max_bytes


def _size(cookie: Cookie) -> int:
    """What a cookie takes up: a site chooses its path and further attributes, too."""
    texts = (cookie.name, cookie.value, cookie.domain, cookie.path, cookie.comment)
    rest = cookie._rest  # type: ignore[attr-defined]
    return sum(len(text) for text in (*texts, *rest, *rest.values()) if isinstance(text, str))


class _Jars(defaultdict[Any, CookieJar]):
    """Cookie jars by key, made on demand; beyond the limit the oldest goes. A job keeps its own."""

    def has_cookies(self, key: Any) -> bool:
        """Whether there is anything that a request could be given."""
        jar = key.jar if isinstance(key, JobCookies) else self.get(key)
        return jar is not None and bool(jar._cookies)

    def __missing__(self, key: Any) -> CookieJar:
        if isinstance(key, JobCookies):
            if key.jar is None:
                key.jar = CookieJar()
            return key.jar
        while len(self) >= _MAX_JARS:
            del self[next(iter(self))]
        jar = self[key] = CookieJar()
        return jar
