"""Fetches the robots.txt of an origin as RFC 9309 says: redirects, statuses, its size limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson
from backports import zstd
from scrapy import Request
from scrapy.http import Response

from scraper.network.errors import NetworkError
from scraper.network.failures import FetchTimeoutError, failure_text
from scraper.network.requests import LEASE, START_AT, START_BY, TAKES_START
from scraper.network.retry_after import retry_after_s
from scraper.network.robots_rules import MAX_ROBOTS_BYTES

Fetch = Callable[[Request], Awaitable[Response]]

MAX_REDIRECTS = 5
# How long a file that could not be had counts as such: nothing of its origin is fetched meanwhile.
FAILED_TTL_S = 10.0
UNREACHED_TTL_S = 1.0
MAX_FAILED_TTL_S = 300.0
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
# Each byte may become six in JSON: a control character is written as an escape.
_MAX_STORED_BYTES = 6 * MAX_ROBOTS_BYTES + 4096


@dataclass(frozen=True, slots=True)
class RobotsFile:
    """One file as it was found.

    `text` is "" where there is none (all is allowed). `code` is "" or, when the origin did not say
    what it allows, the failure code of its pages, and `problem` says so; they may be tried again
    after `ttl_s`.
    """

    text: str
    ttl_s: float
    code: str = ""
    problem: str = ""

    def to_bytes(self) -> bytes:
        """As it is kept in Redis."""
        fields = {"text": self.text, "code": self.code, "problem": self.problem}
        return zstd.compress(orjson.dumps(fields), level=3)

    @classmethod
    def from_bytes(cls, stored: bytes, ttl_s: float) -> RobotsFile:
        """What `to_bytes` made, with the time that is left of it."""
        plain = zstd.ZstdDecompressor().decompress(stored, max_length=_MAX_STORED_BYTES)
        fields = orjson.loads(plain)
        return cls(fields["text"], ttl_s, fields["code"], fields["problem"])


async def fetch_robots(
    origin: str, fetch: Fetch, meta: Mapping[str, Any], *, timeout_s: float, ttl_s: float
) -> RobotsFile:
    """The file of `origin` (scheme://host[:port]); never raises for what a server does.

    `meta` goes along with the requests; what redirects lead to takes starts of its own. `timeout_s`
    is for all of them, without the wait for their starts. `ttl_s` is how long a file counts that
    could be had. Raises LateStartError when a start could not be kept.
    """
    host = origin.partition("://")[2]
    try:
        response = await _follow(f"{origin}/robots.txt", fetch, meta, timeout_s)
    except NetworkError as error:
        return _unreached(host, error)
    status = response.status
    if 200 <= status < 300:
        return RobotsFile(response.body.decode("utf-8-sig", "replace"), ttl_s)
    if status < 500 and status != 429:
        # RFC 9309 2.3.1.3: no such file, or not for us; redirects that do not end count the same.
        return RobotsFile("", ttl_s)
    wait_s = retry_after_s(response.headers.get(b"Retry-After")) or FAILED_TTL_S
    problem = f"robots.txt of {host} answered {status}: until it can be read, nothing is fetched"
    failed_ttl_s = min(max(wait_s, FAILED_TTL_S), MAX_FAILED_TTL_S)
    return RobotsFile("", failed_ttl_s, "robots_unreachable", problem)


def _unreached(host: str, error: NetworkError) -> RobotsFile:
    problem = f"robots.txt of {host} could not be read: {failure_text(error)}"
    return RobotsFile("", UNREACHED_TTL_S, error.code, problem)


async def _follow(url: str, fetch: Fetch, meta: Mapping[str, Any], timeout_s: float) -> Response:
    limits = {"download_maxsize": MAX_ROBOTS_BYTES, "cuts_body": True}
    left_s = timeout_s
    for hops in range(MAX_REDIRECTS + 1):
        request = Request(url, meta={**meta, **limits}, dont_filter=True)
        request.meta["download_timeout"] = left_s
        response = await fetch(request)
        left_s -= request.meta["elapsed_ms"] / 1000
        if left_s <= 0:
            raise FetchTimeoutError(urlsplit(url).netloc, timeout_s)
        meta = {name: value for name, value in meta.items() if name not in (START_AT, START_BY)}
        if LEASE in meta:
            meta[TAKES_START] = True
        location = response.headers.get(b"Location")
        if response.status not in _REDIRECTS or not location or hops == MAX_REDIRECTS:
            break
        try:
            url = urljoin(url, location.decode("utf-8", "replace").strip())
        except ValueError:
            break  # a redirect to nowhere: no such file
    return response
