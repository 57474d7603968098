"""The address guard, certificates and proxies, with real connections on loopback."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.abc
import pytest
import yarl
from aiohttp.abc import ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scrapy import Request, Spider
from scrapy.crawler import Crawler

from scraper.network.addresses import AddressGuard
from scraper.network.connector import GuardedConnector
from scraper.network.errors import NetworkError
from scraper.network.handler import PageDownloadHandler
from tests.support.canary import SPELLINGS

DEADLINE_S = 15.0
ALLOWED = {"ALLOW_PRIVATE_HOSTS": ["127.0.0.1"]}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers every request with `ok`, and tells a tunnel's CONNECT from the rest."""

    def __init__(self, context: ssl.SSLContext | None = None, tunnel_port: int = 0) -> None:
        self._context = context
        self._tunnel_port = tunnel_port
        self.heads: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if head.startswith(b"CONNECT "):
                    await self._tunnel(reader, writer)
                    return
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._tunnel_port)
        self._writers.append(far_writer)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def handling(**settings: object) -> AsyncIterator[PageDownloadHandler]:
    defaults = {"DOWNLOAD_TIMEOUT": 5, "DOWNLOAD_VERIFY_CERTIFICATES": True}
    handler = PageDownloadHandler(Crawler(Spider, {**defaults, **settings}))
    try:
        yield handler
    finally:
        await handler.close()


async def code_of(handler: PageDownloadHandler, url: str, **meta: object) -> str:
    """The failure code of fetching `url`, or its status."""
    try:
        response = await handler.download_request(Request(url, meta=meta))
    except NetworkError as error:
        return error.code
    return str(response.status)


def run(case: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await case

    asyncio.run(limited())


@pytest.mark.parametrize("is_verbatim", [False, True])
def test_no_spelling_of_loopback_is_connected_to(is_verbatim: bool) -> None:
    async def case() -> None:
        async with Server().running() as server, handling() as handler:
            for host in SPELLINGS:
                url = f"http://{host}:{server.port}/"
                code = await code_of(handler, url, verbatim_url=is_verbatim)
                assert code in ("blocked_address", "bad_request", "dns"), host
            assert server.connections == 0

    run(case())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"])
def test_the_refusal_names_the_address_guard(host: str) -> None:
    async def case() -> None:
        async with handling() as handler:
            assert await code_of(handler, f"http://{host}:9/") == "blocked_address"

    run(case())


@pytest.mark.parametrize("rule", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}"])
def test_allowed_address_is_connected_to(rule: str) -> None:
    async def case() -> None:
        async with Server().running() as server:
            allowed = [rule.format(port=server.port)]
            async with handling(ALLOW_PRIVATE_HOSTS=allowed) as handler:
                assert await code_of(handler, f"http://127.0.0.1:{server.port}/") == "200"
                assert await code_of(handler, f"http://localhost:{server.port}/") == "200"
                assert await code_of(handler, "http://10.0.0.1/") == "blocked_address"

    run(case())


def test_allowed_name_does_not_allow_its_address() -> None:
    async def case() -> None:
        allowed = "localhost"
        async with Server().running() as server, handling(ALLOW_PRIVATE_HOSTS=allowed) as handler:
            assert await code_of(handler, f"http://localhost:{server.port}/") == "200"
            code = await code_of(handler, f"http://127.0.0.1:{server.port}/")
            assert code == "blocked_address"

    run(case())


def test_guard_can_be_switched_off() -> None:
    async def case() -> None:
        async with Server().running() as server, handling(ADDRESS_GUARD_ENABLED=False) as handler:
            assert await code_of(handler, f"http://127.0.0.1:{server.port}/") == "200"

    run(case())


class FlippingResolver(aiohttp.abc.AbstractResolver):
    """A name whose addresses change from look-up to look-up, as an attacker's do."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.lookups = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._answers[min(self.lookups, len(self._answers) - 1)]
        self.lookups += 1
        return [
            ResolveResult(
                hostname=host, host=it, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for it in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def connect(connector: GuardedConnector, port: int) -> str:
    """The address that a connection to site.example was made to, or the failure's code."""
    request = aiohttp.ClientRequest("GET", yarl.URL(f"http://site.example:{port}/"))
    try:
        connection = await connector.connect(request, [], aiohttp.ClientTimeout(total=5))
    except NetworkError as error:
        return error.code
    except aiohttp.ClientError:
        return "unreachable"
    assert connection.transport is not None
    peer: str = connection.transport.get_extra_info("peername")[0]
    connection.close()
    return peer


# 127.0.0.2 stands for an address that may be connected to, 127.0.0.1 for one that may not.
@pytest.mark.parametrize(
    ("answers", "outcomes"),
    [
        ([("127.0.0.2",), ("127.0.0.1",)], ["127.0.0.2", "blocked_address", "blocked_address"]),
        ([("127.0.0.1", "127.0.0.2")], ["127.0.0.2"] * 3),
        ([("127.0.0.2", "127.0.0.1")], ["127.0.0.2"] * 3),
        ([("127.0.0.1", "10.0.0.1")], ["blocked_address"] * 3),
        ([("127.0.0.3", "127.0.0.1")], ["unreachable"] * 3),
    ],
    ids=["rebinding", "mixed", "mixed-reverse", "all-private", "fallback"],
)
def test_the_address_that_was_checked_is_the_one_connected_to(
    answers: list[tuple[str, ...]], outcomes: list[str]
) -> None:
    async def case() -> None:
        async with Server().running() as canary:
            public = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.2", canary.port)
            resolver = FlippingResolver(*answers)
            guard = AddressGuard(["127.0.0.2/31"])
            connector = GuardedConnector(guard, resolver=resolver, use_dns_cache=False)
            async with public, connector:
                assert [await connect(connector, canary.port) for _ in outcomes] == outcomes
            assert resolver.lookups == len(outcomes)
            assert canary.connections == 0

    run(case())


def test_proxy_is_guarded_like_any_host() -> None:
    async def case() -> None:
        async with Server().running() as proxy, handling() as handler:
            via = f"http://127.0.0.1:{proxy.port}"
            assert await code_of(handler, "http://site.example/", proxy=via) == "blocked_address"
            assert proxy.connections == 0

    run(case())


def test_http_goes_through_a_proxy_with_its_credentials() -> None:
    async def case() -> None:
        async with Server().running() as proxy, handling(**ALLOWED) as handler:
            via = f"http://me:secret@127.0.0.1:{proxy.port}"
            assert await code_of(handler, "http://site.example/a?b", proxy=via) == "200"
            head = proxy.heads[0]
            assert head.startswith(b"GET http://site.example/a?b HTTP/1.1\r\n")
            assert b"\r\nHost: site.example\r\n" in head
            assert b"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n" in head

    run(case())


def test_https_goes_through_a_tunnel_that_alone_sees_the_credentials(tmp_path: Path) -> None:
    async def case() -> None:
        async with Server(self_signed(tmp_path)).running() as server:
            proxy = Server(tunnel_port=server.port)
            async with proxy.running(), handling(**ALLOWED) as handler:
                via = f"http://me:secret@127.0.0.1:{proxy.port}"
                url = "https://site.example/a"
                assert await code_of(handler, url, proxy=via, verify_tls=False) == "200"
                assert proxy.heads[0].startswith(b"CONNECT site.example:443 ")
                assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.heads[0]
                assert server.heads[0].startswith(b"GET /a HTTP/1.1\r\n")
                assert b"Proxy-Authorization" not in server.heads[0]

    run(case())


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server context with a certificate for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async def case() -> None:
        async with (
            Server(self_signed(tmp_path)).running() as server,
            handling(**ALLOWED) as handler,
        ):
            url = f"https://127.0.0.1:{server.port}/"
            with pytest.raises(NetworkError, match="self-signed certificate") as caught:
                await handler.download_request(Request(url))
            assert caught.value.code == "tls"
            assert server.heads == []

    run(case())


def test_certificate_check_can_be_left_out_by_request(tmp_path: Path) -> None:
    async def case() -> None:
        async with (
            Server(self_signed(tmp_path)).running() as server,
            handling(**ALLOWED) as handler,
        ):
            url = f"https://127.0.0.1:{server.port}/"
            assert await code_of(handler, url, verify_tls=False) == "200"
            # The connection that was not checked is not there for others.
            assert await code_of(handler, url) == "tls"

    run(case())
