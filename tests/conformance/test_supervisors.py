"""What supervisors write: their events once each, their reports as long as they live, a history."""

from __future__ import annotations

import json

import pytest

from scraper.jobs.history import HISTORY_EVERY_MS, HistoryPoint, pages_per_s, read_history
from tests.support.queue_driver import QueueDriver
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

KEPT_MS = 15_000


def told(probe: QueueProbe) -> list[tuple[str, str]]:
    return [(event["t"], event["o"]) for event in probe.events()]


async def test_batch_sent_again_adds_no_event(queue: QueueDriver, probe: QueueProbe) -> None:
    publish = queue.transitions.publish_events
    batch = [("workerReady", '{"workerId":"s/worker-1"}'), ("started", '{"workerCount":1}')]
    assert await publish("s", "process", 1, batch) == 2
    assert await publish("s", "process", 1, batch) == 0
    assert await publish("s", "process", 2, batch[:1]) == 1
    assert told(probe) == [
        ("workerReady", "process"), ("started", "process"), ("workerReady", "process"),
    ]  # fmt: skip
    assert json.loads(probe.events()[0]["d"]) == {"workerId": "s/worker-1"}


async def test_the_next_process_of_a_supervisor_counts_its_batches_anew(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    for origin in ("before", "after"):
        assert await queue.transitions.publish_events("s", origin, 1, [("shutdown", "{}")]) == 1
    assert told(probe) == [("shutdown", "before"), ("shutdown", "after")]


async def test_reports_live_as_long_as_their_supervisor(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    report = queue.transitions.report_supervisor
    await report("a", '{"name":"a"}', KEPT_MS, (4, 3, 100, 1000))
    await report("b", '{"name":"b"}', KEPT_MS, (2, 2, 50, 1000))
    stored = probe.snapshot().own
    assert stored["supervisor:a"].value == '{"name":"a"}'
    assert 0 < stored["supervisor:a"].ttl_ms <= KEPT_MS
    await report("a", "", KEPT_MS)
    assert not {"supervisor:a"} & probe.snapshot().own.keys()
    probe.pass_time(KEPT_MS + 1, "supervisors")
    await report("c", '{"name":"c"}', KEPT_MS)
    own = probe.snapshot().own
    assert set(own["supervisors"].value) == {"c"}
    assert set(own["loads"].value) == {"c"}


async def test_history_gets_one_point_an_interval_for_all_supervisors(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    report = queue.transitions.report_supervisor
    await queue.submit("one")
    await queue.submit("two")
    await queue.end("w1", await queue.lease_one())
    large = 6 * 2**30
    assert await report("a", "{}", KEPT_MS, (4, 3, large, 2 * large))
    assert not await report("b", "{}", KEPT_MS, (2, 2, 50, 1000))
    [first] = await read_history(queue.redis, queue.keys)
    assert (first.waiting, first.completed, first.pages) == (1, 1, 1)
    assert (first.workers, first.running, first.memory_used) == (4, 3, large)
    probe_client = queue.redis
    # As if the point were older: a stream's ids cannot be changed.
    await probe_client.delete(queue.keys.key("history"))
    old = f"{first.at_ms - HISTORY_EVERY_MS}-0"
    await probe_client.xadd(queue.keys.key("history"), {"pages": 0}, id=old)
    assert await report("b", "{}", KEPT_MS, (2, 2, 50, 1000))
    points = await read_history(queue.redis, queue.keys)
    assert (points[1].workers, points[1].memory_total) == (6, 2 * large + 1000)
    assert [round(rate, 2) for rate in pages_per_s(points)] == [0.1]


def test_a_queue_that_was_emptied_stands_still() -> None:
    points = [HistoryPoint(at_ms=0, pages=50), HistoryPoint(at_ms=10_000, pages=3)]
    assert pages_per_s(points) == [0.0]
