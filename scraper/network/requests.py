"""From a Scrapy request to the bytes that are sent, and to where they are sent."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

import aiohttp
import yarl
from scrapy import Request
from w3lib.http import basic_auth_header

from scraper.network.failures import BadRequestError, UnsupportedSchemeError

# Request meta, of a host with a delay: the loop times from which and until which its fetch may
# begin. It connects before.
START_AT = "start_at_s"
START_BY = "start_by_s"
# Request meta: the token of its page's lease, where other requests of the page (redirects' targets)
# take starts of their own at their hosts; and that this is such a request.
LEASE = "lease"
TAKES_START = "takes_start"
# Request meta: False leaves the check of certificates out.
VERIFY_TLS = "verify_tls"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")
_NOT_SENDABLE = re.compile(r"[^\x21-\x7e]")
_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_BREAKS_VALUE = re.compile(rb"[\r\n\0]")
_METHOD = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")

# Written by us, whatever the request says.
_OURS = frozenset((b"Content-Length", b"Transfer-Encoding", b"Proxy-Authorization"))
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "DELETE"))
_MAX_ORIGINS = 2000


class _OriginKey(NamedTuple):
    scheme: str
    netloc: str
    verify_tls: bool
    proxy: str
    proxy_auth: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests of one scheme, host and port go; `host` is without the port."""

    host: str
    # aiohttp's connector takes a whole request to connect; this one is never sent.
    connect_request: aiohttp.ClientRequest
    # What the request line names before the path: nothing, or the URL's head for a proxy.
    target_prefix: str
    host_line: bytes
    # Credentials for the proxy itself, where it sees the request in the clear.
    proxy_line: bytes
    # Credentials in the URL, as the header that carries them.
    authorization: bytes | None


class Origins:
    """Makes origins from URLs and remembers them: parsing a URL costs as much as a write."""

    def __init__(self, *, verified: ssl.SSLContext, unverified: ssl.SSLContext) -> None:
        self._verified = verified
        self._unverified = unverified
        self._known: dict[_OriginKey, Origin] = {}

    def find(self, request: Request, *, verify_tls: bool) -> tuple[Origin, str]:
        """The origin of `request` and the path to ask it for, exactly as the URL has it."""
        match = _URL.match(request.url)
        if match is None:
            raise UnsupportedSchemeError(request.url)
        scheme, netloc, path = match.groups()
        if _NOT_SENDABLE.search(path):
            raise BadRequestError(f"the URL has unescaped characters: {request.url!a}")
        proxy = request.meta.get("proxy") or ""
        proxy_auth = request.headers.get(b"Proxy-Authorization") or b"" if proxy else b""
        key = _OriginKey(scheme, netloc, verify_tls, proxy, proxy_auth)
        origin = self._known.get(key)
        if origin is None:
            if len(self._known) >= _MAX_ORIGINS:
                self._known.clear()
            origin = self._known[key] = self._make(request.url, key)
        if not path.startswith("/"):
            path = f"/{path}"
        return origin, path

    def _make(self, url: str, key: _OriginKey) -> Origin:
        scheme = key.scheme.lower()
        if scheme not in ("http", "https"):
            raise UnsupportedSchemeError(url)
        userinfo, _, host_port = key.netloc.rpartition("@")
        base = _base_url(f"{scheme}://{host_port}/")
        proxy_url, proxy_auth = _proxy(key.proxy, key.proxy_auth)
        host_header = str(base.host_port_subcomponent).encode("ascii")
        is_forwarded = proxy_url is not None and scheme == "http"
        connect_request = aiohttp.ClientRequest(
            "GET",
            base,
            ssl=self._verified if key.verify_tls else self._unverified,
            proxy=proxy_url,
            proxy_headers=(
                {"Proxy-Authorization": proxy_auth.decode("latin-1")} if proxy_auth else None
            ),
        )
        return Origin(
            host=str(base.raw_host),
            connect_request=connect_request,
            target_prefix=f"http://{host_header.decode()}" if is_forwarded else "",
            host_line=b"Host: " + host_header + b"\r\n",
            proxy_line=(
                b"Proxy-Authorization: " + proxy_auth + b"\r\n"
                if is_forwarded and proxy_auth
                else b""
            ),
            authorization=_basic_auth(userinfo),
        )


def _base_url(text: str) -> yarl.URL:
    try:
        url = yarl.URL(text)
        has_host = bool(url.raw_host) and url.port is not None
    except ValueError as exc:
        raise BadRequestError(f"invalid URL {text!a}: {exc}") from exc
    if not has_host:
        raise BadRequestError(f"the URL has no host: {text!a}")
    return url


def _proxy(proxy: str, auth: bytes) -> tuple[yarl.URL | None, bytes]:
    """The proxy's URL without credentials, and the header that carries them."""
    if not proxy:
        return None, b""
    scheme, separator, rest = proxy.rpartition("://")
    userinfo, _, host_port = rest.rpartition("@")
    url = _base_url(f"{scheme if separator else 'http'}://{host_port}".rstrip("/") + "/")
    if _BREAKS_VALUE.search(auth):
        raise BadRequestError("the header Proxy-Authorization has a line break")
    return url, auth or _basic_auth(userinfo) or b""


def _basic_auth(userinfo: str) -> bytes | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    return bytes(basic_auth_header(unquote(user), unquote(password)))


class RequestWriter:
    """Writes the head and body of requests; `default_headers` are prepared once.

    A header that a request has itself, be it with no value, replaces the default one.
    """

    def __init__(self, default_headers: Mapping[bytes, bytes]) -> None:
        self._defaults = dict(default_headers)
        lines = _lines((name, [value]) for name, value in self._defaults.items())
        self._default_lines = b"".join(lines)

    def write(self, request: Request, origin: Origin, path: str) -> bytes:
        """The bytes to send; raises `BadRequestError` for what HTTP does not allow."""
        method = request.method
        start = f"{method} {origin.target_prefix}{path} HTTP/1.1\r\n".encode("ascii")
        own = request.headers
        if not own and method == "GET" and not request.body and origin.authorization is None:
            head = (start, origin.host_line, origin.proxy_line, self._default_lines, b"\r\n")
            return b"".join(head)
        if not _METHOD.fullmatch(method) or method == "CONNECT":
            raise BadRequestError(f"method {method!a}")
        parts = [start]
        if b"Host" not in own:
            parts.append(origin.host_line)
        parts += _lines((name, values) for name, values in own.items() if name not in _OURS)
        parts += _lines(
            (name, [value]) for name, value in self._defaults.items() if name not in own
        )
        parts.append(origin.proxy_line)
        if origin.authorization is not None and b"Authorization" not in own:
            parts.append(b"Authorization: " + origin.authorization + b"\r\n")
        if request.body or method not in _BODILESS:
            parts.append(b"Content-Length: %d\r\n" % len(request.body))
        return b"".join((*parts, b"\r\n", request.body))


def _lines(headers: Iterable[tuple[bytes, list[bytes]]]) -> list[bytes]:
    lines: list[bytes] = []
    for name, values in headers:
        if not _TOKEN.fullmatch(name):
            raise BadRequestError(f"header name {name!r}")
        for value in values:
            if _BREAKS_VALUE.search(value):
                raise BadRequestError(f"the header {name.decode('ascii')} has a line break")
            lines.append(name + b": " + value + b"\r\n")
    return lines
