"""The downloader middlewares of page fetches: redirects, and cookies kept apart by job.

Both cost one comparison on a page that neither redirects nor deals in cookies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http.cookiejar import Cookie
from typing import Any, Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.http.cookies import CookieJar
from scrapy.utils.httpobj import urlparse_cached
from tldextract import TLDExtract

from scraper.network.failures import BadResponseError, TooManyRedirectsError

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
# The jars of this many jobs are kept; a worker has far fewer open.
_MAX_JARS = 1000
# What browsers keep a site, and a cookie, at most.
_MAX_COOKIES = 180
_MAX_COOKIE_BYTES = 4096

# Without its list of addresses, tldextract uses the public suffix list that it came with;
# with it, the first cookie would block the event loop on a download.
_split_domain = TLDExtract(suffix_list_urls=(), include_psl_private_domains=True)


class PageRedirectMiddleware(RedirectMiddleware):
    """Scrapy's redirects, with this package's errors and without a Referer to other sites."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        # Scrapy's one goes on to look for its Referer middleware, and warns without it.
        middleware = cls(crawler.settings)
        middleware.crawler = crawler
        return middleware

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """The response, or the request that it redirects to.

        Raises `TooManyRedirectsError`, or `BadResponseError` where Location is no URL.
        """
        if response.status not in _REDIRECTS:
            return response
        try:
            return super().process_response(request, response)
        except IgnoreRequest as exc:
            times = request.meta.get("redirect_times", 0)
            raise TooManyRedirectsError(request.url, times) from exc
        except ValueError as exc:
            raise BadResponseError(f"Location cannot be read: {exc}") from exc

    def handle_referer(self, request: Request, response: Response) -> None:
        """Keep Referer and Host only on the same host."""
        if urlparse_cached(request).netloc != urlparse_cached(response).netloc:
            request.headers.pop("Referer", None)
            request.headers.pop("Host", None)


class JobCookiesMiddleware(CookiesMiddleware):
    """Cookies by `request.meta["cookiejar"]`: a job's key, so that jobs share none.

    A jar exists from the first cookie on. `forget` drops the one of a job that ended.
    """

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self.jars = _Jars()

    def forget(self, key: object) -> None:
        """Drop the cookies of `key`; nothing happens if it has none."""
        self.jars.pop(key, None)

    def process_request(self, request: Request) -> Request | Response | None:  # type: ignore[override]
        """Add the Cookie header, if the job has a cookie for this URL."""
        if not request.cookies and request.meta.get("cookiejar") not in self.jars:
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
            if len(cookie.name) + len(cookie.value or "") > _MAX_COOKIE_BYTES:
                continue
            known = jar._cookies.get(cookie.domain, {})
            if sum(map(len, known.values())) < _MAX_COOKIES:
                jar.set_cookie_if_ok(cookie, request)


class _Jars(defaultdict[Any, CookieJar]):
    """Cookie jars by key, made on demand; beyond the limit, the oldest goes."""

    def __missing__(self, key: Any) -> CookieJar:
        while len(self) >= _MAX_JARS:
            del self[next(iter(self))]
        jar = self[key] = CookieJar()
        return jar
