"""The download handler: one HTTP exchange over aiohttp's pooled connections.

It drives aiohttp's connector, connection and C parser, and leaves out its session, whose
generality costs as much CPU a page as the transfer itself. Default headers, time-out,
decompression and limits are done here, so that no middleware need run for them.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from typing import Any, NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from scrapy import Request, signals
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import StopDownload
from scrapy.http import Headers, Response
from scrapy.settings import BaseSettings
from twisted.python.failure import Failure

from scraper.network.addresses import AddressGuard
from scraper.network.connector import GuardedConnector
from scraper.network.deadlines import Deadlines
from scraper.network.decoding import ACCEPT_ENCODING, BodyDecoder
from scraper.network.failures import (
    BadResponseError,
    LateStartError,
    TooLargeError,
    TruncatedError,
    as_network_error,
)
from scraper.network.own_addresses import own_addresses
from scraper.network.receivers import has_receivers
from scraper.network.requests import (
    START_AT,
    START_BY,
    VERIFY_TLS,
    Origin,
    Origins,
    RequestWriter,
)
from scraper.network.responses import build_headers, last_value, peer_address, response_class
from scraper.network.steps import MarkedProtocol, current_mark

# One header may be large (content security policies are), but not many.
_MAX_HEADER_BYTES = 32 * 1024
_MAX_HEADERS = 128
# Answers of the kind "100 Continue" before the one that counts.
_MAX_INFORMATIONAL = 20
# How much of a body may wait in memory for its reader.
_READ_BUFFER_BYTES = 256 * 1024
_KEEP_ALIVE_S = 15.0
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
# Request meta: s that it waited, connected, until it might be sent.
_HELD = "held_s"
# The exchange as a whole has one; aiohttp's own are per step.
_NO_STEP_TIMEOUT = aiohttp.ClientTimeout()


class _HeadLimits(NamedTuple):
    header_bytes: int
    headers: int


class _Answer(NamedTuple):
    connection: Connection
    message: RawResponseMessage
    payload: StreamReader


class PageDownloadHandler(BaseDownloadHandler):
    """Scrapy download handler for http and https.

    Settings: `DOWNLOAD_TIMEOUT` (s, of the whole exchange), `DOWNLOAD_MAXSIZE` (bytes, of
    the decompressed body; 0 is no limit), `DOWNLOAD_VERIFY_CERTIFICATES`,
    `TLS_CA_FILE` (PEM, trusted besides the system's), `DEFAULT_REQUEST_HEADERS`, `USER_AGENT`,
    `MAX_HEADERS`, `MAX_HEADER_BYTES` (of one), `ADDRESS_GUARD_ENABLED` (default on),
    `ALLOW_PRIVATE_HOSTS`. Request meta: `download_timeout`, `download_maxsize`,
    `verify_tls`, `proxy`, `cuts_body` (of a larger body the beginning is the response),
    `start_at_s` and `start_by_s` (loop times: what is sent leaves in between; LateStartError when
    it could only leave later). It sets `download_latency` (s, until the headers) and `elapsed_ms`
    (until the end, also of a failure), both without the wait for `start_at_s`.

    Redirects are not followed and cookies are not kept. Every failure is a `NetworkError`.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        settings = crawler.settings
        self._timeout_s = settings.getfloat("DOWNLOAD_TIMEOUT")
        self._max_bytes = settings.getint("DOWNLOAD_MAXSIZE")
        self._verify_tls = settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES")
        self._guard = _guard(settings)
        self._head_limits = _HeadLimits(
            settings.getint("MAX_HEADER_BYTES", _MAX_HEADER_BYTES),
            settings.getint("MAX_HEADERS", _MAX_HEADERS),
        )
        self._writer = RequestWriter(_default_headers(settings))
        self._origins = Origins(
            verified=_tls_context(settings["TLS_CA_FILE"]), unverified=_lax_tls_context()
        )
        # Made by the first request: it needs the running loop.
        self._connector: GuardedConnector | None = None
        self._deadlines = Deadlines()

    async def download_request(self, request: Request) -> Response:
        """The response to `request`; raises a `NetworkError` for every kind of failure."""
        meta = request.meta
        timeout_s: float = meta.get("download_timeout") or self._timeout_s
        verify_tls: bool = meta.get(VERIFY_TLS, self._verify_tls)
        origin, path = self._origins.find(request, verify_tls=verify_tls)
        data = self._writer.write(request, origin, path)
        started_s = time.monotonic()
        held_s = _until_start_s(meta)
        meta.pop(_HELD, None)
        try:
            steps = self._exchange(request, origin, data, started_s)
            if not timeout_s:
                return await steps
            return await self._deadlines.within(timeout_s + held_s, steps)
        except Exception as exc:
            error = as_network_error(exc, origin.host, timeout_s)
            if error is None or error is exc:
                raise
            raise error from exc
        finally:
            took_s = time.monotonic() - started_s - meta.get(_HELD, 0.0)
            meta["elapsed_ms"] = round(took_s * 1000)

    async def close(self) -> None:
        """Close all connections."""
        if self._connector is not None:
            await self._connector.close()

    async def _exchange(
        self, request: Request, origin: Origin, data: bytes, started_s: float
    ) -> Response:
        answer = await self._send(request, origin, data)
        connection, message, _ = answer
        is_whole = False
        try:
            held_s = request.meta.get(_HELD, 0.0)
            request.meta["download_latency"] = time.monotonic() - started_s - held_s
            transport = connection.transport
            peer = transport.get_extra_info("peername") if transport is not None else None
            headers = build_headers(message.raw_headers)
            stop = self._stopped_by(
                signals.headers_received,
                request,
                headers=headers,
                body_length=_content_length(message),
            )
            body = b""
            if stop is None:
                body, stop = await self._read(request, origin, answer, headers)
            is_whole = stop is None
        finally:
            if is_whole and not self._is_crowded():
                connection.release()
            else:
                connection.close()
        response = _response(request, message, headers, body)
        if peer:
            response.ip_address = peer_address(peer[0])
        if stop:
            response.flags.append("download_stopped")
            if stop.fail:
                stop.response = response
                raise stop
        return response

    def _is_crowded(self) -> bool:
        return self._connector is not None and self._connector.is_crowded()

    async def _send(self, request: Request, origin: Origin, data: bytes) -> _Answer:
        """Send on a pooled or new connection; the answer's head and the stream of its body."""
        connector = self._connector
        if connector is None:
            connector = self._connector = GuardedConnector(
                self._guard, limit=0, keepalive_timeout=_KEEP_ALIVE_S
            )
        while True:
            connection = await connector.connect(origin.connect_request, [], _NO_STEP_TIMEOUT)
            if START_AT in request.meta:
                await _wait_for_start(request.meta, connection)
            protocol = connection.protocol
            if protocol is None or protocol.should_close:
                # Bytes that nobody asked for came while it was idle: they must not
                # become the answer to this request.
                connection.close()
                continue
            assert isinstance(protocol, MarkedProtocol)
            protocol.mark = current_mark.get()
            try:
                message, payload = await _ask(
                    protocol, data, self._head_limits, request.meta.get(START_BY),
                    is_head=request.method == "HEAD",
                )  # fmt: skip
            except LateStartError:
                # Nothing was sent on it: the next fetch finds it open.
                connection.release()
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                connection.close()
                # The server may have closed an idle connection just before we wrote.
                if protocol.has_answered and request.method in _IDEMPOTENT:
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            protocol.has_answered = True
            return _Answer(connection, message, payload)

    async def _read(
        self, request: Request, origin: Origin, answer: _Answer, headers: Headers
    ) -> tuple[bytes, StopDownload | None]:
        """The decompressed body, and who stopped it before its end."""
        connection, message, payload = answer
        limit: int = request.meta.get("download_maxsize", self._max_bytes) or sys.maxsize
        cuts = request.meta.get("cuts_body", False)
        length = _content_length(message)
        if length is not None and length > limit and not payload.at_eof() and not cuts:
            raise TooLargeError(limit)
        decoder = _decoder(headers, limit)
        watched = has_receivers(self.crawler, signals.bytes_received)
        pieces: list[bytes] = []
        size = 0
        while piece := await payload.readany():
            try:
                plain = decoder.feed(piece) if decoder else piece
                pieces.append(plain)
                size += len(plain)
                if size > limit:
                    raise TooLargeError(limit)
            except TooLargeError:
                if not cuts:
                    raise
                return b"".join(pieces)[:limit], StopDownload(fail=False)
            if watched and (stop := self._stopped_by(signals.bytes_received, request, data=piece)):
                return b"".join(pieces), stop
        if decoder:
            decoder.finish(origin.host)
        elif length is None and not message.chunked:
            _check_end(connection, origin)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), None

    def _stopped_by(self, signal: object, request: Request, **facts: Any) -> StopDownload | None:
        if not has_receivers(self.crawler, signal):
            return None
        results = self.crawler.signals.send_catch_log(
            signal=signal, request=request, spider=self.crawler.spider, **facts
        )
        for _, result in results:
            if isinstance(result, Failure) and isinstance(result.value, StopDownload):
                return result.value
        return None


def _until_start_s(meta: dict[str, Any]) -> float:
    """How long it is until the fetch may begin; 0 when it may at once."""
    start_at_s: float | None = meta.get(START_AT)
    if start_at_s is None:
        return 0.0
    return max(0.0, start_at_s - asyncio.get_running_loop().time())


async def _wait_for_start(meta: dict[str, Any], connection: Connection) -> None:
    """Until politeness lets the request leave."""
    try:
        if wait_s := _until_start_s(meta):
            meta[_HELD] = meta.get(_HELD, 0.0) + wait_s
            await asyncio.sleep(wait_s)
    except BaseException:
        # Nothing was sent on it: the next fetch finds it open.
        connection.release()
        raise


async def _ask(
    protocol: ResponseHandler,
    data: bytes,
    limits: _HeadLimits,
    start_by_s: float | None,
    *,
    is_head: bool,
) -> tuple[RawResponseMessage, StreamReader]:
    protocol.set_response_params(
        skip_payload=is_head,
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=_READ_BUFFER_BYTES,
        max_line_size=limits.header_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers,
    )
    if protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    write = protocol.transport.write
    # Right before the sending: a busy machine stops a process anywhere, for longer than a delay.
    if start_by_s is not None and asyncio.get_running_loop().time() > start_by_s:
        raise LateStartError
    write(data)
    for _ in range(_MAX_INFORMATIONAL + 1):
        message, payload = await protocol.read()
        # An informational answer comes before the real one; 101 is a real one.
        if not 100 <= message.code < 200 or message.code == 101:
            return message, payload
    raise BadResponseError(f"more than {_MAX_INFORMATIONAL} informational answers before it")


def _check_end(connection: Connection, origin: Origin) -> None:
    """A body without length ends with the connection: a reset is not that end."""
    ending = connection.protocol.exception() if connection.protocol is not None else None
    if isinstance(ending, OSError):
        raise TruncatedError(origin.host, "the connection was reset") from ending


def _decoder(headers: Headers, limit_bytes: int) -> BodyDecoder | None:
    codings = headers.getlist(b"Content-Encoding") if b"Content-Encoding" in headers else None
    if not codings:
        return None
    decoder = BodyDecoder.of(b",".join(codings).decode("latin-1"), limit_bytes)
    if decoder is not None:
        # Whoever looks at the response must not decode it again.
        del headers[b"Content-Encoding"]
    return decoder


def _response(
    request: Request, message: RawResponseMessage, headers: Headers, body: bytes
) -> Response:
    content_type = last_value(headers, b"Content-Type")
    response = response_class(content_type, request.url, body)(
        url=request.url,
        status=message.code,
        body=body,
        protocol=f"HTTP/{message.version.major}.{message.version.minor}",
    )
    # Not through the constructor, which would copy them.
    response.headers = headers
    return response


def _content_length(message: RawResponseMessage) -> int | None:
    value = message.headers.get("Content-Length")
    return int(value) if value is not None else None


def _guard(settings: BaseSettings) -> AddressGuard | None:
    if not settings.getbool("ADDRESS_GUARD_ENABLED", True):
        return None
    return AddressGuard(settings.getlist("ALLOW_PRIVATE_HOSTS"), own_addresses())


def _default_headers(settings: BaseSettings) -> dict[bytes, bytes]:
    headers = Headers({"Accept-Encoding": ACCEPT_ENCODING})
    headers.update(settings.getdict("DEFAULT_REQUEST_HEADERS"))
    if settings["USER_AGENT"] and "User-Agent" not in headers:
        headers["User-Agent"] = settings["USER_AGENT"]
    return {name: values[-1] for name, values in headers.items() if values}


def _tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities and those of `ca_file` (PEM)."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _lax_tls_context() -> ssl.SSLContext:
    context = _tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
