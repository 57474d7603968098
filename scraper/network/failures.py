"""What went wrong with a fetch: the errors that the handler raises, their codes, their texts.

The handler's errors are subclasses of Scrapy's own, so that errbacks and middlewares that
check for those go on working. Codes are those of design §9.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from scrapy import exceptions as scrapy_errors

from scraper.jobs.printable import printable
from scraper.network.errors import NetworkError

_TRANSIENT = frozenset(
    (
        "connection",
        "dns",
        "host_rests",
        "proxy",
        "refused",
        "reset",
        "robots_unreachable",
        "timeout",
        "tls",
        "truncated",
        "unreachable",
    )
)
_TRANSIENT_STATUSES = frozenset((408, 425, 429))
_MAX_TEXT = 300


class HostNotFoundError(NetworkError, scrapy_errors.CannotResolveHostError):
    """The host has no address, or none could be looked up."""

    code = "dns"

    def __init__(self, host: str) -> None:
        super().__init__(f"no address found for host {host}")


class RefusedError(NetworkError, scrapy_errors.DownloadConnectionRefusedError):
    """Nothing listens at the address."""

    code = "refused"

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} refused the connection")


class UnreachableError(NetworkError, scrapy_errors.DownloadFailedError):
    """There is no way to the address."""

    code = "unreachable"

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(f"{host} cannot be reached: {detail}")


class ResetError(NetworkError, scrapy_errors.DownloadFailedError):
    """The server dropped the connection before it answered."""

    code = "reset"

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} closed the connection before it answered")


class ConnectionFailedError(NetworkError, scrapy_errors.DownloadFailedError):
    """The connection failed in a way that has no code of its own."""

    code = "connection"

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(f"the connection to {host} failed: {detail}")


class TlsError(NetworkError, scrapy_errors.DownloadFailedError):
    """No secure connection: a bad certificate or a failed handshake."""

    code = "tls"

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(f"no secure connection to {host}: {detail}")


class ProxyError(NetworkError, scrapy_errors.DownloadFailedError):
    """The proxy could not be reached, or refused to pass the request on."""

    code = "proxy"

    def __init__(self, detail: str) -> None:
        super().__init__(f"the proxy failed: {detail}")


class FetchTimeoutError(NetworkError, scrapy_errors.DownloadTimeoutError):
    """The whole fetch, from connecting to the last byte, took too long."""

    code = "timeout"

    def __init__(self, host: str, timeout_s: float) -> None:
        super().__init__(f"{host} took longer than {timeout_s:g} s")


class TruncatedError(NetworkError, scrapy_errors.ResponseDataLossError):
    """The body ended before its announced end."""

    code = "truncated"

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(f"{host} did not send the whole body: {detail}")


class TooLargeError(NetworkError, scrapy_errors.DownloadCancelledError):
    """The body, decompressed, is larger than allowed."""

    code = "too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes:,} bytes (MAX_RESPONSE_SIZE)")


class UndecodableError(NetworkError, scrapy_errors.DownloadFailedError):
    """The body is not what its Content-Encoding says."""

    code = "undecodable"

    def __init__(self, coding: str, detail: str) -> None:
        super().__init__(f"the body cannot be decoded as {coding}: {detail}")


class BadResponseError(NetworkError, scrapy_errors.DownloadFailedError):
    """The answer is not HTTP, or breaks a limit on its headers."""

    code = "bad_response"

    def __init__(self, detail: str) -> None:
        super().__init__(f"the answer is not valid HTTP: {detail}")


class BadRequestError(NetworkError, scrapy_errors.DownloadFailedError):
    """The request cannot be sent: its URL, method or a header is malformed."""

    code = "bad_request"

    def __init__(self, detail: str) -> None:
        super().__init__(f"the request cannot be sent: {detail}")


class UnsupportedSchemeError(NetworkError, scrapy_errors.UnsupportedURLSchemeError):
    """The URL is neither http nor https."""

    code = "unsupported_scheme"

    def __init__(self, url: str) -> None:
        super().__init__(f"not an http or https URL: {url}")


class RobotsDisallowedError(NetworkError, scrapy_errors.IgnoreRequest):
    """The site's robots.txt forbids the URL; `line` is the line that does."""

    code = "robots"

    def __init__(self, url: str, line: str) -> None:
        self.line = line
        super().__init__(f"robots.txt forbids {url} ({line})")


class RobotsUnreachableError(NetworkError, scrapy_errors.DownloadFailedError):
    """What the site allows is not known: its robots.txt could not be had.

    `retry_after_s` is how long it is not asked for again.
    """

    def __init__(self, code: str, problem: str, retry_after_s: float) -> None:
        self.code = code
        self.retry_after_s = retry_after_s
        super().__init__(problem)


class HostRestsError(NetworkError, scrapy_errors.DownloadFailedError):
    """A redirect leads to a host that asked for a rest; `retry_after_s` is what is left of it."""

    code = "host_rests"

    def __init__(self, url: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            f"redirected to {url}, whose host asked for a rest (429 or 503) of "
            f"{retry_after_s:.0f} s more"
        )


class LateStartError(scrapy_errors.IgnoreRequest):
    """The moment at which politeness let this fetch begin is over: it needs another one.

    No failure of the page: it goes back to the queue, uncharged.
    """

    def __init__(self) -> None:
        super().__init__("the fetch could not begin when its host's delay allowed it to")


_FOREIGN_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (scrapy_errors.CannotResolveHostError, "dns"),
    (scrapy_errors.DownloadConnectionRefusedError, "refused"),
    (scrapy_errors.DownloadTimeoutError, "timeout"),
    (scrapy_errors.ResponseDataLossError, "truncated"),
    (scrapy_errors.DownloadCancelledError, "cancelled"),
    (scrapy_errors.DownloadFailedError, "connection"),
    (scrapy_errors.UnsupportedURLSchemeError, "unsupported_scheme"),
    (scrapy_errors.NotSupported, "unsupported_scheme"),
    (scrapy_errors.IgnoreRequest, "ignored"),
)


def failure_code(exc: BaseException) -> str:
    """The failure code of a fetch that ended with `exc`; `internal` for any other error."""
    if isinstance(exc, NetworkError):
        return exc.code
    known = as_network_error(exc, "", 0)
    if known is not None:
        return known.code
    return next((code for kind, code in _FOREIGN_CODES if isinstance(exc, kind)), "internal")


def is_retryable(code: str) -> bool:
    """Whether a page that failed with `code` (also `http_<status>`) may be fetched again."""
    kind, _, status = code.partition("_")
    if kind == "http" and status.isdigit():
        return int(status) in _TRANSIENT_STATUSES or 500 <= int(status) < 600
    return code in _TRANSIENT


def failure_text(exc: BaseException) -> str:
    """One line for people that says what happened, at most 300 characters."""
    # What a server sent is quoted in some: it must not reach a terminal as it is.
    text = printable(" ".join(str(exc).split()))
    if not isinstance(exc, NetworkError):
        name = type(exc).__name__
        text = f"{name}: {text}" if text else name
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def as_network_error(exc: BaseException, host: str, timeout_s: float) -> NetworkError | None:
    """The error of this package that says what aiohttp's `exc` means; None if it is not its."""
    for kind, make in _MEANINGS:
        if isinstance(exc, kind):
            # An OSError that is none of the network's stays what it is.
            return make(exc, host, timeout_s)
    return None


def _os_error(exc: OSError, host: str, timeout_s: float) -> NetworkError | None:
    if exc.errno == errno.ETIMEDOUT:
        return FetchTimeoutError(host, timeout_s)
    if exc.errno == errno.ECONNREFUSED:
        return RefusedError(host)
    if exc.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return ResetError(host)
    if isinstance(exc, aiohttp.ClientConnectionError):
        return UnreachableError(host, exc.strerror or str(exc))
    return None


def _tls_detail(exc: BaseException) -> str:
    cause = getattr(exc, "os_error", exc)
    reason = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return str(reason or cause)


# The first kind that fits decides, so subclasses stand before their bases.
_MEANINGS: tuple[
    tuple[type[BaseException], Callable[[Any, str, float], NetworkError | None]], ...
] = (
    (NetworkError, lambda exc, host, timeout_s: exc),
    (aiohttp.ClientConnectorDNSError, lambda exc, host, timeout_s: HostNotFoundError(host)),
    (
        aiohttp.ClientConnectorCertificateError,
        lambda exc, host, timeout_s: TlsError(host, _tls_detail(exc.certificate_error)),
    ),
    (aiohttp.ClientSSLError, lambda exc, host, timeout_s: TlsError(host, _tls_detail(exc))),
    (ssl.SSLError, lambda exc, host, timeout_s: TlsError(host, _tls_detail(exc))),
    (aiohttp.ClientProxyConnectionError, lambda exc, host, timeout_s: ProxyError(str(exc))),
    (aiohttp.ClientHttpProxyError, lambda exc, host, timeout_s: ProxyError(str(exc))),
    (aiohttp.ClientPayloadError, lambda exc, host, timeout_s: TruncatedError(host, str(exc))),
    (aiohttp.InvalidURL, lambda exc, host, timeout_s: BadRequestError(f"invalid URL {exc}")),
    (
        HttpProcessingError,
        lambda exc, host, timeout_s: BadResponseError(exc.message or type(exc).__name__),
    ),
    (aiohttp.ServerDisconnectedError, lambda exc, host, timeout_s: ResetError(host)),
    (TimeoutError, lambda exc, host, timeout_s: FetchTimeoutError(host, timeout_s)),
    (OSError, _os_error),
    (aiohttp.ClientError, lambda exc, host, timeout_s: ConnectionFailedError(host, str(exc))),
)
