"""Failure codes, which of them are tried again, and their texts."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine
from scrapy import exceptions as scrapy_errors

from scraper.network import failures
from scraper.network.errors import BlockedAddressError, NetworkError

KEY = ConnectionKey("site.example", 443, True, True, None, None, None, None)


def connector_error(number: int) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(number, "as the system says"))


CASES: tuple[tuple[BaseException, str], ...] = (
    (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "unknown")), "dns"),
    (connector_error(errno.ECONNREFUSED), "refused"),
    (connector_error(errno.ECONNRESET), "reset"),
    (connector_error(errno.ETIMEDOUT), "timeout"),
    (connector_error(errno.EHOSTUNREACH), "unreachable"),
    (connector_error(errno.ENETUNREACH), "unreachable"),
    (aiohttp.ClientProxyConnectionError(KEY, OSError(errno.ECONNREFUSED, "no")), "proxy"),
    (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("bad")), "tls"),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "handshake failure")), "tls"),
    (ssl.SSLError(1, "decryption failed"), "tls"),
    (aiohttp.ServerDisconnectedError(), "reset"),
    (aiohttp.ClientConnectionError("Connector is closed."), "connection"),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), "reset"),
    (aiohttp.ClientOSError(errno.EPIPE, "broken pipe"), "reset"),
    (ConnectionResetError(errno.ECONNRESET, "reset"), "reset"),
    (aiohttp.ClientPayloadError("not enough data"), "truncated"),
    (BadStatusLine("garbage"), "bad_response"),
    (aiohttp.InvalidURL("http://[", "bad"), "bad_request"),
    (TimeoutError(), "timeout"),
    (aiohttp.ServerTimeoutError(), "timeout"),
    (BlockedAddressError("site.example", "127.0.0.1", 80, "loopback"), "blocked_address"),
    (failures.TooLargeError(10), "too_large"),
    (failures.UndecodableError("gzip", "bad header"), "undecodable"),
    (failures.UnsupportedSchemeError("ftp://site.example/"), "unsupported_scheme"),
    (scrapy_errors.CannotResolveHostError(), "dns"),
    (scrapy_errors.DownloadConnectionRefusedError(), "refused"),
    (scrapy_errors.DownloadTimeoutError(), "timeout"),
    (scrapy_errors.ResponseDataLossError(), "truncated"),
    (scrapy_errors.DownloadFailedError(), "connection"),
    (scrapy_errors.UnsupportedURLSchemeError(), "unsupported_scheme"),
    (scrapy_errors.NotSupported("Unsupported URL scheme"), "unsupported_scheme"),
    (scrapy_errors.IgnoreRequest("filtered"), "ignored"),
    (KeyError("a bug"), "internal"),
    (FileNotFoundError(errno.ENOENT, "a bug"), "internal"),
)


@pytest.mark.parametrize(("error", "code"), CASES, ids=[type(e).__name__ for e, _ in CASES])
def test_error_has_its_code(error: BaseException, code: str) -> None:
    assert failures.failure_code(error) == code


@pytest.mark.parametrize(
    "code",
    ["dns", "refused", "reset", "tls", "timeout", "truncated", "http_503", "http_429", "http_408"],
)
def test_passing_failure_is_tried_again(code: str) -> None:
    assert failures.is_retryable(code)


@pytest.mark.parametrize(
    "code",
    [
        "too_large",
        "undecodable",
        "blocked_address",
        "bad_request",
        "too_many_redirects",
        "unsupported_scheme",
        "internal",
        "http_404",
        "http_410",
        "http_200",
        "http_",
        "http_x",
        "",
    ],
)
def test_lasting_failure_is_not_tried_again(code: str) -> None:
    assert not failures.is_retryable(code)


@pytest.mark.parametrize("error", [error for error, _ in CASES])
def test_text_is_one_short_line(error: BaseException) -> None:
    text = failures.failure_text(error)
    assert text
    assert "\n" not in text
    assert len(text) <= 300


def test_long_and_broken_text_becomes_one_line() -> None:
    assert failures.failure_text(ValueError("a\n  b")) == "ValueError: a b"
    assert len(failures.failure_text(ValueError("x" * 1000))) == 300


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (connector_error(errno.ECONNREFUSED), scrapy_errors.DownloadConnectionRefusedError),
        (TimeoutError(), scrapy_errors.DownloadTimeoutError),
        (aiohttp.ClientPayloadError("half"), scrapy_errors.ResponseDataLossError),
    ],
)
def test_scrapys_own_checks_go_on_working(error: BaseException, kind: type[BaseException]) -> None:
    assert isinstance(failures.as_network_error(error, "site.example", 30), kind)


def test_text_names_host_and_limit() -> None:
    late = failures.as_network_error(TimeoutError(), "site.example", 30)
    assert str(late) == "site.example took longer than 30 s"


def test_every_error_of_the_package_has_a_code_of_its_own_kind() -> None:
    def kinds(kind: type[NetworkError]) -> set[type[NetworkError]]:
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    coded = [kind for kind in kinds(NetworkError) if "code" in vars(kind)]
    assert len({kind.code for kind in coded}) == len(coded)
