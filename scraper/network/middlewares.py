"""The downloader middleware of page fetches: cookies, kept apart by job.

It costs one comparison on a page that deals in no cookies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http.cookiejar import Cookie
from typing import Any

from scrapy import Request
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http import Response
from scrapy.http.cookies import CookieJar
from scrapy.utils.httpobj import urlparse_cached
from tldextract import TLDExtract

# The jars of this many jobs are kept; a worker has far fewer open.
_MAX_JARS = 1000
# What browsers keep a site, and a cookie, at most.
_MAX_COOKIES = 180
_MAX_COOKIE_BYTES = 4096

# Without its list of addresses, tldextract uses the public suffix list that it came with;
# with it, the first cookie would block the event loop on a download.
_split_domain = TLDExtract(suffix_list_urls=(), include_psl_private_domains=True)


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
