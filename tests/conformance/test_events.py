"""Each transition says what happened in the stream; it is bounded and holds no records."""

from __future__ import annotations

import json

import pytest

from scraper.jobs.events import EventReader
from scraper.jobs.leases import PageOutcome
from tests.conftest import QUEUE
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit, submission
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

A = "http://a.test/"


def names(probe: QueueProbe) -> list[str]:
    return [event["t"] for event in probe.events()]


def detail(probe: QueueProbe, name: str) -> dict[str, object]:
    """What the newest event of that name says beside job and customer."""
    found: dict[str, object] = json.loads(
        [event["d"] for event in probe.events() if event["t"] == name][-1]
    )
    return found


async def test_life_of_a_job_in_events(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("crawl", A, max_pages=5, customer_id="acme")
    await queue.end("s/worker-1#7", await queue.lease_one("s/worker-1#7"), links=[f"{A}1"])
    await queue.end("s/worker-1#7", await queue.lease_one("s/worker-1#7"), PageOutcome.FAILED)
    assert [it for it in names(probe) if it != "jobProgress"] == [
        "jobWaiting", "workerActive", "pageCommitted", "pageCommitted", "workerCompleted",
    ]  # fmt: skip
    assert {(event["j"], event["c"]) for event in probe.events()} == {("crawl", "acme")}
    assert detail(probe, "workerActive")["workerId"] == "s/worker-1"
    page = detail(probe, "pageCommitted")
    assert (page["url"], page["status"], page["code"]) == (f"{A}1", "failed", "http_503")
    completed = detail(probe, "workerCompleted")
    assert completed["workerId"] == "s/worker-1"
    result = completed["result"]
    assert isinstance(result, dict)
    assert result.pop("duration") >= 0
    assert result == {
        "pagesScraped": 1, "failed": 1, "skipped": 0, "totalPages": 2, "pagesLeft": 0,
        "finishReason": "finished",
    }  # fmt: skip


async def test_failed_job_says_when_it_is_tried_again_and_when_it_is_not(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", attempts=2, backoff_ms=1000)
    await queue.end("w1", await queue.lease_one(), PageOutcome.FAILED, code="dns")
    retried = detail(probe, "jobRetried")
    assert (retried["attempt"], retried["error"]) == (1, "dns")
    probe.pass_time(HOUR_MS, "delayed")
    await queue.end("w1", await queue.lease_one(), PageOutcome.FAILED, code="dns")
    assert detail(probe, "workerFailed")["error"] == "dns"


async def test_cancel_expiry_refusal_and_retry_are_told(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    await queue.transitions.cancel_job("one")
    assert names(probe)[-1] == "jobCancelled"
    await queue.transitions.retry_job("one")
    assert names(probe)[-1] == "jobRetried"
    await queue.lease_one()
    probe.pass_time(HOUR_MS, "deadlines")
    await queue.transitions.expire_jobs()
    assert names(probe)[-1] == "workerFailed"
    await queue.transitions.reject_push("", "{}", "the-door", "no URL")
    assert detail(probe, "jobRejected") == {"door": "the-door", "reason": "no URL"}


async def test_duplicate_is_told_as_skipped(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, second = await queue.lease()
    await queue.end("w1", first)
    await queue.end("w1", second, url=first.url)
    page = detail(probe, "pageCommitted")
    assert (page["status"], page["code"]) == ("skipped", "duplicate")


async def test_page_that_is_tried_again_is_not_told_as_committed(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    await queue.end("w1", await queue.lease_one(), PageOutcome.RETRY, retry_delay_ms=HOUR_MS)
    assert "pageCommitted" not in names(probe)


async def test_stale_token_tells_nothing(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one")
    lease = await queue.lease_one()
    await queue.transitions.cancel_job("one")
    before = names(probe)
    await queue.end("w1", lease)
    assert names(probe) == before


async def test_progress_is_told_once_a_second_at_the_most(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}{it}" for it in range(30)], host_limit=32)
    for lease in await queue.lease():
        await queue.end("w1", lease)
    assert 1 <= names(probe).count("jobProgress") <= 2


async def test_events_hold_no_records(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one", spec='{"metadata":"in the spec"}')
    await queue.end("w1", await queue.lease_one(), payload=b'{"text":"in the record"}')
    told = json.dumps(probe.events())
    assert "in the record" not in told
    assert "in the spec" not in told


async def test_stream_is_bounded(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.set(events_kept=100)
    await queue.submit_many([submission(f"job-{it}") for it in range(1000)])
    # Trimmed by whole nodes of the stream, of 100 entries.
    assert 100 <= probe.snapshot().get("events") <= 200


async def test_repeated_commit_tells_nothing_twice(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one")
    commit = page_commit(await queue.lease_one())
    await queue.commit("w1", commit)
    await queue.commit("w1", commit)
    assert names(probe).count("pageCommitted") == names(probe).count("workerCompleted") == 1


async def test_a_reader_is_told_what_was_trimmed_before_it_came_and_nothing_else(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    stream = queue.keys.key("events")
    await queue.submit_many([submission(f"j{n:02}") for n in range(20)])
    ids = [entry.decode() for entry, _ in await queue.redis.xrange(stream)]
    late = EventReader(queue.redis, QUEUE, after=ids[3])
    steady = EventReader(queue.redis, QUEUE)
    await steady.start()
    await queue.submit("a")
    assert [event.name for event in await steady.read_now()] == ["jobWaiting"]
    probe.redis.xtrim(stream, maxlen=0, approximate=False)
    await queue.submit("b")
    assert [event.job_id for event in await steady.read_now()] == ["b"], "it had read all that went"
    gap, event = await late.read_now()
    assert (gap.name, gap.detail) == ("gap", {"after": ids[3], "before": event.id})
    await queue.submit_many([submission("c"), submission("d")])
    probe.redis.xtrim(stream, maxlen=1, approximate=False)
    assert [event.name for event in await steady.read_now()] == ["gap", "jobWaiting"]
    assert await steady.read_now() == []


async def test_reader_goes_on_after_each_page_of_an_entry(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    urls = [f"{A}{number}" for number in range(3)]
    await queue.start_crawl("crawl", urls)
    start = probe.snapshot().get("events")
    await queue.commit("w1", *map(page_commit, await queue.lease()))
    assert probe.snapshot().get("events") == start + 2, "one entry for the pages, one for the job"
    reader = EventReader(queue.redis, QUEUE, "0-0")
    pages = [it for it in await reader.read(1) if it.name == "pageCommitted"][1:]
    assert [it.detail["url"] for it in pages] == urls
    for number, page in enumerate(pages):
        later = await EventReader(queue.redis, QUEUE, page.id).read(1)
        told = [it.detail["url"] for it in later if it.name == "pageCommitted"]
        assert told == urls[number + 1 :], page.id


async def test_stream_of_pages_is_bounded_by_events_not_by_entries(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.set(events_kept=1000)
    links = [f"{A}{number}" for number in range(7_000)]
    await queue.start_crawl("crawl", links[:10], max_pages=20_000, host_limit=1000)
    first, *others = await queue.lease()
    await queue.end("w1", first, links=links[10:])
    await queue.commit("w1", *map(page_commit, others))
    while leases := await queue.lease(pages=20):
        await queue.commit("w1", *map(page_commit, leases))
    told = len([name for name in names(probe) if name == "pageCommitted"])
    # Trimmed by whole nodes of 100 entries, of 20 events each.
    assert 900 <= told <= 1000 + 2 * 100 * 20
