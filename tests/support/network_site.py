"""A real server on loopback that answers as it is told, and a handler to fetch from it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.http import Response

from scraper.network.errors import NetworkError
from scraper.network.failures import failure_code
from scraper.network.handler import PageDownloadHandler

MIB = 1024 * 1024
DEADLINE_S = 15.0

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def page(body: bytes = b"<p>hello</p>", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = (b"HTTP/1.1 " + status, b"Content-Type: text/html", *headers)
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))


class Site:
    """A server that gives `answers` in turn, then the last one again; None hangs up."""

    def __init__(self, *answers: Answer | None) -> None:
        self._answers = list(answers)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.origin = ""

    @property
    def targets(self) -> list[bytes]:
        return [head.split(b" ")[1] for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                if answer is None:
                    break
                if isinstance(answer, bytes):
                    writer.write(answer)
                    if b"Connection: close" in answer:
                        break
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    site.origin = f"http://{host}:{port}"
    try:
        yield site
    finally:
        server.close()
        for writer in site.writers:
            writer.close()


def new_handler(**settings: object) -> PageDownloadHandler:
    defaults = {"ALLOW_PRIVATE_HOSTS": ["127.0.0.0/8"], "DOWNLOAD_MAXSIZE": MIB}
    crawler = Crawler(Spider, {**defaults, "DOWNLOAD_TIMEOUT": 5, **settings})
    return PageDownloadHandler(crawler)


@asynccontextmanager
async def handling(**settings: object) -> AsyncIterator[PageDownloadHandler]:
    handler = new_handler(**settings)
    try:
        yield handler
    finally:
        await handler.close()


async def code_of(fetch: Coroutine[Any, Any, Response]) -> str:
    with pytest.raises(NetworkError) as caught:
        await fetch
    return failure_code(caught.value)


def run(case: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await case

    asyncio.run(limited())


def fetch_once(*answers: Answer | None, path: str = "/", **request: Any) -> Response:
    """The response of one request to a site that gives `answers`."""
    result: list[Response] = []

    async def case() -> None:
        async with running(Site(*answers)) as site, handling() as handler:
            result.append(await handler.download_request(Request(site.origin + path, **request)))

    run(case())
    return result[0]


def fail_once(*answers: Answer | None, path: str = "/", **request: Any) -> str:
    """The failure code of one request to a site that gives `answers`."""
    result: list[str] = []

    async def case() -> None:
        async with running(Site(*answers)) as site, handling() as handler:
            asked = Request(site.origin + path, **request)
            result.append(await code_of(handler.download_request(asked)))
            assert asked.meta["elapsed_ms"] >= 0

    run(case())
    return result[0]


async def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection with a reset in place of a regular end."""
    await writer.drain()
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
