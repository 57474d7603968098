"""Exports: the same records in each format, each once, whole files or none, at constant memory."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from scraper.jobs.records import pack_record
from supervisor.desk import ServiceUnreachableError
from supervisor.desk_http import HttpDesk
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.http_api import http_server
from tests.support.processes import ROOT, run, start, wait_until
from tests.support.queue_driver import QueueDriver, strict_client

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
NASTY = (
    "plain", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", "＝1", "a,b;c",
    'say "no"', "two\nlines\r\n", "Grüße 日本語 🎉", "\x1b[2J\x9b31m\u202e", "'", "",
)  # fmt: skip


@pytest.fixture
async def queue(place: QueuePlace) -> AsyncIterator[QueueDriver]:
    client = strict_client(place.url)
    driver = QueueDriver(client, place.name)
    yield driver
    await client.aclose()


def record(number: int, title: str = "", text: str = "") -> dict[str, Any]:
    return {"url": f"http://site.test/{number}", "status": 200, "title": title, "text": text}


async def running_job(queue: QueueDriver, *titles: str) -> None:
    """A job `crawl` with one page recorded for each title, and one page left to fetch."""
    links = [f"http://site.test/{number}" for number in range(1, len(titles) + 1)]
    await queue.submit("crawl", "http://site.test/0", max_pages=100)
    lease = await queue.lease_one()
    await queue.end("w1", lease, links=links, payload=pack_record(record(0, titles[0])))
    for number, title in enumerate(titles[1:], 1):
        await queue.end("w1", await queue.lease_one(), payload=pack_record(record(number, title)))


async def cli(place: QueuePlace, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = await asyncio.to_thread(run, "supervisor", *arguments, env=place.env())
    assert "Traceback" not in done.stderr, done.stderr
    return done


async def test_each_format_has_the_same_records(
    place: QueuePlace, queue: QueueDriver, tmp_path: Path
) -> None:
    await running_job(queue, *NASTY)
    wanted = [record(number, title) for number, title in enumerate(NASTY)]
    files = [tmp_path / f"out{ending}" for ending in (".jsonl", ".json.gz", ".csv", ".CSV.gz")]
    for file in files:
        assert (await cli(place, "data", "crawl", "--output", str(file))).returncode == 0
    lines, packed_array, table, packed_table = (file.read_bytes() for file in files)
    assert [json.loads(line) for line in lines.splitlines()] == wanted
    assert json.loads(gzip.decompress(packed_array)) == wanted
    assert gzip.decompress(packed_table) == table
    rows = list(csv.DictReader(table.decode().splitlines(keepends=True)))
    assert [row["title"].removeprefix("'") for row in rows] == [
        title.removeprefix("'") for title in NASTY
    ]
    assert [row["title"] for row in rows if row["title"].startswith(tuple("=+-@\t\r\n＝"))] == []
    assert sorted(tmp_path.iterdir()) == sorted(files)


async def test_followed_export_ends_with_the_job_and_has_each_page_once(
    place: QueuePlace, queue: QueueDriver, tmp_path: Path
) -> None:
    await running_job(queue, "a", "b")
    file = tmp_path / "out.jsonl"
    partial = "out.jsonl.*.part"
    arguments = ("supervisor", "data", "crawl", "--follow", "--output", str(file))
    process = start(*arguments, env=place.env())
    try:
        await asyncio.to_thread(
            wait_until, lambda: list(tmp_path.glob(partial)), 30, "the export has begun"
        )
        assert not file.exists()
        await queue.end("w1", await queue.lease_one(), payload=pack_record(record(2)))
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    urls = [json.loads(line)["url"] for line in file.read_text().splitlines()]
    assert urls == [f"http://site.test/{number}" for number in range(3)]
    assert list(tmp_path.iterdir()) == [file]


async def test_a_disk_that_is_full_is_one_clear_sentence_and_leaves_nothing(
    place: QueuePlace, queue: QueueDriver, tmp_path: Path
) -> None:
    await running_job(queue, "x" * 200_000)
    file = tmp_path / "out.jsonl"
    file.write_text("the export of yesterday")
    limited = f"ulimit -f 8; exec {sys.executable} -m supervisor data crawl --output {file}"
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", limited], env=place.env(), cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {file} cannot be written: File too large.")
    assert done.stderr.count("\n") == 1
    assert [it.name for it in tmp_path.iterdir()] == ["out.jsonl"]
    assert file.read_text() == "the export of yesterday"
    with open("/dev/full", "wb") as full:
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "supervisor", "data", "crawl"], env=place.env(),
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


class BreakingService:
    """Serves 10 records as NDJSON; each answer breaks off in the middle of the fourth."""

    def __init__(self, is_stuck: bool) -> None:
        self.cursors: list[int] = []
        self._is_stuck = is_stuck

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        cursor = int(head.partition("cursor=")[2].partition(" ")[0])
        self.cursors.append(cursor)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        whole = 0 if self._is_stuck and cursor else 3
        lines = [orjson.dumps(record(n)) + b"\n" for n in range(cursor, 10)]
        piece = b"".join(lines[:whole]) + b"".join(lines[whole : whole + 1])[:9]
        is_end = cursor + whole >= 10
        if piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if is_end:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.mark.parametrize("is_stuck", [False, True])
async def test_a_stream_that_breaks_off_goes_on_behind_the_last_whole_record(
    monkeypatch: pytest.MonkeyPatch, is_stuck: bool
) -> None:
    monkeypatch.setattr("supervisor.desk_http.RECONNECT_S", 0.01)
    service = BreakingService(is_stuck)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    desk = HttpDesk(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    urls: list[str] = []
    try:
        async with server:
            async for line in desk.record_lines("crawl"):
                urls.append(orjson.loads(line)["url"])  # noqa: PERF401 (kept when it raises)
        assert not is_stuck
    except ServiceUnreachableError:
        assert is_stuck
    finally:
        await desk.close()
    count = 3 if is_stuck else 10
    assert urls == [f"http://site.test/{number}" for number in range(count)]
    assert service.cursors == ([0, *[3] * 6] if is_stuck else [0, 3, 6, 9])


@pytest.mark.timeout(by_scale(120, 1800))
async def test_large_exports_take_constant_memory(
    place: QueuePlace, queue: QueueDriver, tmp_path: Path
) -> None:
    count = by_scale(6_000, 100_000)
    text = " ".join(f"word{number}" for number in range(640))
    await running_job(queue, "first")
    key = queue.keys.job("crawl", "records")
    for begin in range(1, count, 1000):
        part = range(begin, min(begin + 1000, count))
        await queue.redis.rpush(key, *(pack_record(record(n, "title", text)) for n in part))
    few, _ = await peak_memory(place, tmp_path / "few.jsonl", "crawl", is_baseline=True)
    for name in ("many.jsonl", "many.csv", "many.json.gz"):
        most, lines = await peak_memory(place, tmp_path / name, "crawl")
        print(f"{name}: {count} records of {len(text)} bytes, {most / MIB:.0f} MiB at most")
        assert most < few + 20 * MIB
        if not name.endswith(".gz"):
            assert lines in (count, count + 1)
    with http_server(place.url, place.name) as api:
        [server] = [
            it for it in psutil.Process().children(recursive=True)
            if "supervisor.http" in " ".join(it.cmdline())
        ]  # fmt: skip
        before = server.memory_info().rss
        for kind in ("ndjson", "csv"):
            reply = await asyncio.to_thread(api.get, f"/jobs/crawl/data?format={kind}")
            assert reply.body.count(b"http://site.test/") == count
        grown = server.memory_info().rss - before
        print(f"the HTTP server grew by {grown / MIB:.0f} MiB")
        assert grown < 20 * MIB


async def peak_memory(
    place: QueuePlace, file: Path, job_id: str, *, is_baseline: bool = False
) -> tuple[int, int]:
    """The most memory that an export took, in bytes, and how many lines the file has.

    `is_baseline`: of a command that reads no records.
    """
    arguments = ("job", job_id) if is_baseline else ("data", job_id, "--output", str(file))
    process = start("supervisor", *arguments, env=place.env())
    most = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            most = max(most, watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        await asyncio.sleep(0.01)
    assert process.wait() == 0
    if is_baseline or file.suffix == ".gz":
        return most, 0
    with file.open("rb") as lines:
        return most, sum(1 for _ in lines)
