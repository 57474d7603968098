"""The HTTP API under load: what it accepted exists, nothing is missed, its memory stays flat."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from statistics import median

import psutil
import pytest

from scraper.jobs.records import pack_record
from tests.chaos.scale import IS_FULL
from tests.integration.conftest import QueuePlace
from tests.support.http_api import OPERATOR, Api, http_server
from tests.support.processes import running, wait_until
from tests.support.promtool import complaints
from tests.support.queue_driver import QueueDriver, page_commit, strict_client, submission
from tests.support.redis_server import free_port
from tests.support.site import serve, tree

RECONNECTS, EVENTS = (100, 10_000) if IS_FULL else (20, 1_500)
RECORDS = 100_000 if IS_FULL else 8_000
SECONDS, BATCH = (10, 100) if IS_FULL else (2, 100)
SINGLES = 3_000 if IS_FULL else 200
RECORD_BYTES = 4_000

pytestmark = pytest.mark.timeout(1800 if IS_FULL else 240)


def _emit(place: QueuePlace, count: int) -> None:
    """Crawl without fetching: a commit and two events a page, until there are that many."""

    async def crawl() -> None:
        client = strict_client(place.url)
        queue = QueueDriver(client, place.name)
        await queue.submit_many([submission(f"j{number}") for number in range(count // 3)])
        while leases := await queue.lease(pages=16):
            await queue.commit("w1", *map(page_commit, leases))
        await client.aclose()

    asyncio.run(crawl())


def test_a_client_that_reconnects_all_the_time_misses_nothing(place: QueuePlace) -> None:
    with http_server(place.url, place.name) as api:
        crawl = threading.Thread(target=_emit, args=(place, EVENTS))
        crawl.start()
        heard: list[str] = []
        ended = 0
        share = EVENTS // RECONNECTS
        last = "0-0"
        deadline_s = time.monotonic() + (900 if IS_FULL else 120)
        while ended < EVENTS // 3 and time.monotonic() < deadline_s:
            with api.stream("/events", Last_Event_ID=last) as events:
                for event, _ in zip(events, range(share), strict=False):
                    assert event.name != "gap"
                    heard.append(event.id)
                    ended += event.name == "workerCompleted"
                    last = event.id
                    if ended == EVENTS // 3:
                        break
        crawl.join()
        with api.stream("/events?after=0-0&follow=false") as events:
            there = [event.id for event in events]
    assert len(heard) >= EVENTS
    assert heard == there, "in order, none missed, none twice"


def _fill(place: QueuePlace) -> None:
    """A completed job with that many records."""

    async def fill() -> None:
        client = strict_client(place.url)
        queue = QueueDriver(client, place.name)
        await queue.submit("large")
        await queue.end("w1", await queue.lease_one())
        words = " ".join(f"word{number % 977}" for number in range(RECORD_BYTES // 7))
        packed = pack_record({"url": "http://large.test/", "text": words})
        key = queue.keys.job("large", "records")
        for _ in range(RECORDS // 1000):
            await client.rpush(key, *[packed] * 1000)
        await client.aclose()

    asyncio.run(fill())


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_records_are_streamed_in_flat_memory(place: QueuePlace, kind: str) -> None:
    _fill(place)
    with http_server(place.url, place.name) as api:
        [server] = [
            child for child in psutil.Process().children() if "supervisor.http" in child.cmdline()
        ]
        api.get(f"/jobs/large/data?format={kind}&cursor={RECORDS - 1000}")
        before = server.memory_info().rss
        started_s, most, lines = time.monotonic(), before, 0
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
        connection.request("GET", f"/jobs/large/data?format={kind}")
        answer = connection.getresponse()
        while chunk := answer.read(1 << 20):
            lines += chunk.count(b"\n")
            most = max(most, server.memory_info().rss)
        connection.close()
        took_s = time.monotonic() - started_s
    print(
        f"{kind}: {lines} lines in {took_s:.1f} s, rss {before >> 20} -> at most {most >> 20} MiB"
    )
    assert lines == RECORDS + 1 + (kind == "csv")
    assert most - before < 16 * 1024 * 1024


@pytest.fixture
def service(place: QueuePlace) -> Iterator[tuple[Api, int]]:
    port = free_port()
    command = ("supervisor", "run", "--workers", "1", "--port", str(port))
    with running(*command, env=place.env(API_TOKEN=OPERATOR, EVENTS_KEPT="1000000")) as [process]:
        api = Api(port, OPERATOR)
        wait_until(lambda: _is_up(api), 60, "the service is up")
        yield api, process.pid


def _is_up(api: Api) -> bool:
    try:
        return bool(api.get("/workers").json["workers"])
    except OSError:
        return False


def _watch_lag(api: Api, lags: list[float], is_over: threading.Event) -> None:
    """The worst lag that the supervisor reports, every two seconds."""
    while not is_over.wait(1.0):
        [supervisor] = api.get("/workers").json["supervisors"]
        lags.append(supervisor["loopLagMs"])


def _pages_per_s(api: Api) -> int:
    job = api.get("/jobs/crawl").json
    took_s = time.time() - datetime.fromisoformat(job["startedAt"]).timestamp()
    done: int = job["pages"]["done"]
    return round(done / took_s)


def test_all_that_was_accepted_exists_beside_a_crawl(
    service: tuple[Api, int], place: QueuePlace
) -> None:
    api, _ = service
    with serve(default=tree(100_000)) as site:
        crawl = {
            "type": "full-crawl",
            "url": f"{site.url}/0",
            "maxPages": 100_000,
            "jobId": "crawl",
        }
        assert api.post("/jobs", crawl).status == 201
        wait_until(lambda: api.get("/jobs/crawl").json["pages"]["done"] > 10, 60, "it crawls")
        # Not to be fetched: the crawl is the load.
        later = {"type": "single-page", "url": f"{site.url}/1", "delay": 86_400_000}
        accepted: Counter[str] = Counter()
        lags: list[float] = []
        is_over = threading.Event()
        watch = threading.Thread(target=_watch_lag, args=(api, lags, is_over))
        watch.start()
        took: list[float] = []

        def submit(number: int) -> None:
            began_s = time.monotonic()
            # Each request is sent twice, as after a lost reply.
            for _ in range(2):
                reply = api.post("/jobs", [later] * BATCH, Idempotency_Key=f"batch-{number}")
                assert reply.status in (200, 201), reply.body
            took.append(time.monotonic() - began_s)
            accepted.update(job["jobId"] for job in reply.json["jobs"])

        started_s = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            futures = []
            for number in range(10 * SECONDS):
                time.sleep(max(0.0, started_s + number / 10 - time.monotonic()))
                futures.append(pool.submit(submit, number))
            for future in futures:
                future.result()
        batches_s = time.monotonic() - started_s
        started_s = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda n: api.post("/jobs", later), range(SINGLES)))
        singles_s = time.monotonic() - started_s
        is_over.set()
        watch.join()
        assert {reply.status for reply in made} == {201}
        accepted.update(reply.json["jobId"] for reply in made)
        assert set(accepted.values()) == {1}
        assert len(accepted) == 10 * SECONDS * BATCH + SINGLES
        told = api.get("/metrics").body.decode()
        assert api.get("/jobs/crawl").json["state"] == "active", "it ran beside"
    assert "scraper_fetch_seconds_bucket" in told
    assert complaints(told.encode()) == ""
    assert f'state="delayed"}} {float(len(accepted))}' in told
    took.sort()
    # Not the worst: a machine that is short of cores stops every process for a while.
    assert median(lags) < 100
    print(
        json.dumps(
            {
                "batches": f"{10 * SECONDS} x {BATCH} jobs (twice) in {batches_s:.1f} s",
                "batch, median and worst": [round(took[len(took) // 2], 3), round(took[-1], 3)],
                "single submits/s": round(SINGLES / singles_s),
                "lag of the supervisor's loop, worst ms": max(lags),
                "pages/s beside it": _pages_per_s(api),
            }
        )
    )
