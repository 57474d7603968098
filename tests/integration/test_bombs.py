"""Answers made to exhaust a worker: bounded memory and time, one clear failure each."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import socket
import time
import zlib
from collections.abc import Callable, Iterator

import brotli  # type: ignore[import-untyped]
import psutil
import pytest
from backports import zstd

from tests.chaos.hostile_site import (
    STREAM,
    Misdeed,
    answer,
    endless,
    gzip_bomb,
    page,
    raw,
    serve_hostile,
)
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace
from tests.support.processes import running, wait_until

MIB = 1024 * 1024
TIMEOUT_S = 4
MOST_MEMORY_MIB = 700
TEN_GIB = 10 * 1024 * MIB


def _packed(coding: str) -> Iterator[bytes]:
    """10 GiB of zeros, packed; made while it is sent."""
    zeros = bytes(MIB)
    if coding == "gzip":
        pack = zlib.compressobj(9, wbits=31)
        feed: Callable[[bytes], bytes] = pack.compress
    elif coding == "deflate":
        feed = zlib.compressobj(9).compress
    elif coding == "br":
        feed = brotli.Compressor(quality=1).process
    else:
        feed = zstd.ZstdCompressor(level=1).compress
    return (piece for _ in range(TEN_GIB // MIB) if (piece := feed(zeros)))


def bomb(coding: str) -> Misdeed:
    def send(connection: socket.socket) -> None:
        connection.sendall(STREAM + f"Content-Encoding: {coding}\r\n\r\n".encode())
        for piece in _packed(coding):
            connection.sendall(piece)

    return send


def nested_gzip() -> bytes:
    return gzip.compress(gzip_bomb(64), 9)


def many_members() -> bytes:
    return gzip.compress(b"x") * 200_000


def numbered(pattern: str, count: int) -> bytes:
    text = io.StringIO()
    for number in range(count):
        text.write(pattern % number)
    return text.getvalue().encode()


_hops = itertools.count()


def further(connection: socket.socket) -> None:
    """A redirect to where there is another one."""
    answer(b"", f"Location: /redirects?{next(_hops)}", status="302 Found")(connection)


INFORMATIONAL = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
ENTITIES = (
    "<?xml version='1.0'?><!DOCTYPE u [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    + "]><urlset><url><loc>&a11;</loc></url></urlset>"
).encode()
FINE = {""}
BAD = {"bad_response"}

# What is sent, and the codes of which one must be its outcome ("": it was recorded).
BOMBS: dict[str, tuple[Misdeed, set[str]]] = {
    "gzip": (bomb("gzip"), {"too_large"}),
    "deflate": (bomb("deflate"), {"too_large"}),
    "brotli": (bomb("br"), {"too_large"}),
    "zstd": (bomb("zstd"), {"too_large"}),
    "nested": (answer(nested_gzip(), "Content-Encoding: gzip, gzip"), {"too_large"}),
    "five-codings": (
        answer(b"x", "Content-Encoding: gzip, gzip, gzip, gzip, gzip"),
        {"undecodable"},
    ),
    "members": (answer(many_members(), "Content-Encoding: gzip"), {"undecodable"}),
    "endless-body": (endless(STREAM + b"\r\n", bytes(65_536), 0), {"too_large", "timeout"}),
    "endless-chunks": (
        endless(STREAM + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 4096, 0),
        {"too_large", "timeout"},
    ),
    "chunk-extension": (
        endless(STREAM + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65_536, 0),
        {*BAD, "truncated", "timeout"},
    ),
    "trailers": (
        endless(STREAM + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: y\r\n" * 4096, 0),
        {*BAD, "truncated", "timeout"},
    ),
    "slow-drip": (endless(STREAM + b"\r\n", b"x", 0.1), {"timeout"}),
    "drip-in-the-head": (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.2), {"timeout"}),
    "endless-head": (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000, 0), BAD),
    "endless-header": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65_536, 0), BAD),
    "endless-status": (endless(b"HTTP/1.1 200 ", b"O" * 65_536, 0), BAD),
    "endless-1xx": (endless(b"", INFORMATIONAL * 500, 0), BAD),
    "5000-headers": (answer(b"x", *(f"X-{n}: y" for n in range(5_000))), BAD),
    "huge-header": (answer(b"x", f"X: {'y' * 1_000_000}"), BAD),
    "huge-cookies": (
        answer(b"<p>x", *(f"Set-Cookie: c{n}={'v' * 30_000}; Path=/" for n in range(100))),
        FINE,
    ),
    "odd-cookies": (answer(b"<p>x", "Set-Cookie: " + "; = ," * 6_000), FINE),
    "huge-location": (
        answer(b"", f"Location: /{'x' * 30_000}", status="302 Found"),
        {"bad_redirect"},
    ),
    "redirects": (further, {"too_many_redirects"}),
    "redirect-loop": (
        answer(b"", "Location: /redirect-loop", status="302 Found"),
        {"too_many_redirects"},
    ),
    "http-0.9": (raw(b"<html>no head at all"), BAD),
    "length-too-long": (answer(b"<p>half", length=1_000), {"truncated"}),
    "length-huge": (answer(b"x", length=10**30), {*BAD, "too_large"}),
    "two-lengths": (answer(b"x", "Content-Length: 5"), BAD),
    "length-and-chunked": (
        raw(STREAM + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        {*BAD, ""},
    ),
    "chunk-nonsense": (
        raw(STREAM + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n"),
        {*BAD, "truncated"},
    ),
    "chunk-overflow": (
        raw(STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nx"),
        {*BAD, "truncated"},
    ),
    "nul-in-header": (answer(b"x", "X-Nul: a\0b"), BAD),
    "nul-bytes": (answer(b"\0" * MIB), FINE),
    "300000-links": (answer(page(*(f"/{n}" for n in range(300_000)))), FINE),
    "100000-deep": (answer(b"<div>" * 100_000), FINE),
    "100000-attributes": (answer(b"<p " + numbered("a%d=b ", 100_000) + b">"), FINE),
    "100000-tables": (answer(b"<table><tr><td>" * 100_000), FINE),
    "formatting": (answer(numbered("<b a=%d>", 2_000) + b"<p>" * 4_000), FINE),
    "entities-as-xml": (answer(ENTITIES, "Content-Type: application/xml"), FINE),
    "entities-as-html": (answer(ENTITIES), FINE),
    "entities-as-xhtml": (answer(ENTITIES, "Content-Type: application/xhtml+xml"), FINE),
    "json-ld": (
        answer(page(head='<script type="application/ld+json">' + "[" * 500_000 + "</script>")),
        FINE,
    ),
}
PATTERN = {"includePaths": ["re:^/(a+)+$"], "excludePaths": ["re:(x+x+)+y"]}


@pytest.mark.timeout(180)
def test_each_bomb_is_one_clear_failure_in_bounded_memory_and_time(place: QueuePlace) -> None:
    env = place.env(
        REQUEST_TIMEOUT=str(TIMEOUT_S), PAGE_ATTEMPTS="1", WORKER_CONCURRENCY="4",
        PAGE_CONCURRENCY="4",
    )  # fmt: skip
    pages = {name: misdeed for name, (misdeed, _) in BOMBS.items()}
    pages["pattern"] = answer(page("/" + "a" * 2_000 + "!", "/" + "x" * 2_000))
    with (
        contextlib.closing(QueueReader(place.url, place.name)) as queue,
        serve_hostile(pages) as site,
        running("scrapy", "work", env=env) as [worker],
    ):
        queue.push({"type": "single-page", "url": f"{site.url}/good", "jobId": "first"})
        wait_until(lambda: queue.state("first") == "completed", 30, "the worker is up")
        process, most = psutil.Process(worker.pid), 0

        def all_ended() -> bool:
            nonlocal most
            most = max(most, process.memory_info().rss)
            return all(map(queue.has_ended, pages))

        began_s = time.monotonic()
        for name in pages:
            crawl = {"maxPages": 3, **PATTERN} if name == "pattern" else {"maxPages": 1}
            queue.push(
                {"type": "full-crawl", "url": f"{site.url}/{name}", "jobId": name, "attempts": 1,
                 **crawl}
            )  # fmt: skip
        wait_until(
            all_ended, 150, f"all end: {[name for name in pages if not queue.has_ended(name)]}"
        )
        took_s = time.monotonic() - began_s
        queue.push({"type": "single-page", "url": f"{site.url}/good", "jobId": "good"})
        wait_until(lambda: queue.state("good") == "completed", 30, "the worker goes on")
        assert worker.poll() is None
        found = {name: _outcome(queue, name) for name in BOMBS}
        assert queue.state("pattern") == "completed"
    print(f"{len(pages)} bombs in {took_s:.1f} s, at most {most / MIB:.0f} MiB; {found}")
    assert {
        name: found[name] for name, (_, codes) in BOMBS.items() if found[name] not in codes
    } == {}
    assert most < MOST_MEMORY_MIB * MIB


def _outcome(queue: QueueReader, job_id: str) -> str:
    """The failure code of a job's page; "" when it was recorded."""
    if queue.done(job_id):
        return ""
    [error] = queue.errors(job_id).values()
    assert len(error["message"]) > 5, job_id
    return str(error["code"])
