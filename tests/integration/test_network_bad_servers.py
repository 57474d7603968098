"""The download handler and servers that drop, stall, lie and flood, on real connections."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import tracemalloc

import pytest
from scrapy import Request

from tests.support.network_site import (
    MIB,
    Answer,
    Site,
    code_of,
    fail_once,
    fetch_once,
    handling,
    page,
    reset,
    run,
    running,
)

# Connections


def test_connection_is_kept_and_survives_error_pages() -> None:
    async def case() -> None:
        site = Site(page(), page(status=b"404 Not Found"), page(status=b"500 Oops"), page())
        async with running(site), handling() as handler:
            got = [(await handler.download_request(Request(site.origin))).status for _ in range(4)]
            assert got == [200, 404, 500, 200]
            assert site.connections == 1

    run(case())


def test_fetching_goes_on_after_a_broken_exchange() -> None:
    async def case() -> None:
        site = Site(page(bytes(2 * MIB)), b"garbage\r\n\r\n", page(b"fine"))
        async with running(site), handling() as handler:
            codes = [await code_of(handler.download_request(Request(site.origin))) for _ in "ab"]
            assert codes == ["too_large", "bad_response"]
            assert (await handler.download_request(Request(site.origin))).body == b"fine"
            assert site.connections == 3

    run(case())


def test_idle_connection_that_the_server_dropped_costs_no_failure() -> None:
    async def case() -> None:
        site = Site(page(b"one"), None, page(b"two"))
        async with running(site), handling() as handler:
            assert (await handler.download_request(Request(site.origin))).body == b"one"
            assert (await handler.download_request(Request(site.origin))).body == b"two"
            assert site.connections == 2

    run(case())


def test_post_is_never_sent_twice() -> None:
    async def case() -> None:
        site = Site(page(b"one"), None, page(b"two"))
        async with running(site), handling() as handler:
            await handler.download_request(Request(site.origin))
            post = Request(site.origin, method="POST", body="x")
            assert await code_of(handler.download_request(post)) == "reset"
            assert len(site.heads) == 2

    run(case())


def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scraper.network.connector._MAX_IDLE_ORIGINS", 1)

    async def case() -> None:
        first, second = Site(page()), Site(page())
        async with running(first), running(second), handling() as handler:
            for site in (first, second, first, second):
                await handler.download_request(Request(site.origin))
            assert (first.connections, second.connections) == (1, 2)

    run(case())


def test_bytes_that_nobody_asked_for_never_become_an_answer() -> None:
    async def case() -> None:
        async with running(Site(page(b"one"))) as site, handling() as handler:
            await handler.download_request(Request(site.origin))
            site.writers[0].write(page(b"poison"))
            await site.writers[0].drain()
            # One exchange on another connection, so that the poison has arrived too.
            async with running(Site(page(b"other"))) as other:
                await handler.download_request(Request(other.origin))
            assert (await handler.download_request(Request(site.origin))).body == b"one"

    run(case())


# Failures


def test_bomb_is_refused_within_bounded_memory() -> None:
    sent = 0

    async def bomb(writer: asyncio.StreamWriter) -> None:
        # 10 GB of zeros; the client hangs up long before the end.
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
        member = gzip.compress(bytes(10 * MIB))
        for _ in range(1000):
            writer.write(member)
            await writer.drain()
            sent += 1

    tracemalloc.start()
    try:
        assert fail_once(bomb) == "too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * MIB
    assert sent < 1000


@pytest.mark.parametrize(
    "answer",
    [
        page(bytes(2 * MIB)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(2 * MIB),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + bytes(2 * MIB),
    ],
    ids=("length", "announced", "until-close", "chunked"),
)
def test_body_over_the_limit_is_refused(answer: bytes) -> None:
    assert fail_once(answer) == "too_large"


def test_limit_can_be_set_by_request() -> None:
    assert fail_once(page(bytes(100)), meta={"download_maxsize": 99}) == "too_large"
    assert fetch_once(page(bytes(100)), meta={"download_maxsize": 100}).body == bytes(100)


def test_drip_ends_at_the_total_time_out() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    started_s = time.monotonic()
    assert fail_once(drip, meta={"download_timeout": 0.3}) == "timeout"
    assert time.monotonic() - started_s < 3


def test_silence_ends_at_the_total_time_out() -> None:
    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    assert fail_once(silence, meta={"download_timeout": 0.2}) == "timeout"


async def reset_in_body_without_length(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of")
    await reset(writer)


async def reset_in_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")
    await reset(writer)


CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
HALF_GZIP = gzip.compress(b"<p>half</p>" * 100)[:-9]


@pytest.mark.parametrize(
    "answer",
    [
        CLOSED + b"Content-Length: 100\r\n\r\nhalf of",
        CLOSED + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        CLOSED + b"Transfer-Encoding: chunked\r\n\r\n50\r\nhello",
        CLOSED + b"Content-Encoding: gzip\r\n\r\n" + HALF_GZIP,
        page(HALF_GZIP, b"Content-Encoding: gzip"),
        reset_in_body,
        reset_in_body_without_length,
    ],
    ids=("length", "no-last-chunk", "in-chunk", "gzip", "gzip-length", "reset", "reset-no-length"),
)
def test_part_of_a_body_is_a_failure(answer: Answer) -> None:
    assert fail_once(answer) == "truncated"


@pytest.mark.parametrize("answer", [None, reset], ids=("closed", "reset"))
def test_connection_dropped_before_the_answer_is_a_reset(answer: Answer | None) -> None:
    assert fail_once(answer) == "reset"


def test_closed_port_is_refused() -> None:
    async def case() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with handling() as handler:
            request = Request(f"http://127.0.0.1:{port}/")
            assert await code_of(handler.download_request(request)) == "refused"

    run(case())


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_name_that_cannot_exist_is_a_failure_of_its_page(host: str) -> None:
    async def case() -> None:
        async with handling() as handler:
            request = Request(f"http://{host}/", meta={"verbatim_url": True})
            code = await code_of(handler.download_request(request))
            assert code in ("dns", "bad_request")

    run(case())


@pytest.mark.parametrize(
    "answer",
    [
        b"hello, this is not http\r\n\r\n",
        b"HTTP/1.1 999999 Huge\r\n\r\n",
        page(b"", *(b"X-%d: 1" % number for number in range(500))),
        page(b"", b"X-Huge: " + b"x" * 100_000),
        page(b"", b"Content-Length: 5"),
        CLOSED + b"Content-Length: -5\r\n\r\n",
    ],
    ids=("no-http", "status", "many-headers", "huge-header", "two-lengths", "negative"),
)
def test_what_is_not_sane_http_is_a_bad_response(answer: bytes) -> None:
    assert fail_once(answer) == "bad_response"


def test_informational_answers_without_end_are_a_bad_response() -> None:
    few = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5
    assert fetch_once(few + page(b"ok")).body == b"ok"
    assert fail_once(few * 100) == "bad_response"


def test_large_but_sane_headers_pass() -> None:
    assert fetch_once(page(b"ok", b"Content-Security-Policy: " + b"x" * 20_000)).body == b"ok"


def test_wrong_content_encoding_is_undecodable() -> None:
    assert fail_once(page(b"<p>plain</p>", b"Content-Encoding: gzip")) == "undecodable"
