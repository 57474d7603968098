"""The server's clock steps by an hour: no lease is stolen, no job ends, none waits an hour more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from scraper.jobs.transitions import Transitions
from tests.conftest import QUEUE
from tests.support.faked_clock import SteppedServer, running_stepped_server
from tests.support.queue_driver import QueueDriver, strict_client
from tests.support.queue_invariants import faults
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

HOUR_S = 3600
LEASE_MS = 60_000
REPORT_KEPT_MS = 15_000


@pytest.fixture
def stepped() -> Iterator[SteppedServer]:
    with running_stepped_server() as server:
        yield server


@pytest.fixture
async def queue(stepped: SteppedServer) -> AsyncIterator[QueueDriver]:
    client = strict_client(stepped.url)
    yield QueueDriver(client, QUEUE)
    await client.aclose()


async def report(*supervisors: Transitions) -> None:
    for number, supervisor in enumerate(supervisors):
        await supervisor.report_supervisor(f"s{number}", "{}", REPORT_KEPT_MS)


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_step_of_the_clock_steals_no_lease_and_ends_no_job(
    queue: QueueDriver, stepped: SteppedServer, seconds: int
) -> None:
    # Two supervisors: the step must be made up for once, not twice.
    others = Transitions(queue.redis, QUEUE)
    await report(queue.transitions, others)
    for job_id in ("held", "later"):
        await queue.submit(job_id, max_duration_ms=120_000, delay_ms=5_000 * (job_id == "later"))
    lease = await queue.lease_one("w1", lease_ms=LEASE_MS)
    assert lease.job_id == "held"

    stepped.step(seconds)
    # Before anybody has reported: neither a lease call nor a duty takes anything.
    assert await queue.lease("w2") == []
    assert await queue.transitions.reclaim_expired() == 0
    assert await queue.transitions.expire_jobs() == 0
    assert await queue.transitions.promote_delayed() == 0
    await report(queue.transitions, others)
    await report(others, queue.transitions)
    assert await queue.lease("w2") == []

    moment_s, _ = await queue.redis.time()
    left = {
        name: await queue.redis.zscore(queue.keys.key(key), name) - moment_s * 1000
        for key, name in (("workers", "w1"), ("deadlines", "held"), ("delayed", "j later"))
    }
    assert 50_000 < left["w1"] <= LEASE_MS + 1000
    assert 110_000 < left["held"] <= 121_000
    assert 0 < left["j later"] <= 6_000
    assert await queue.end("w1", lease) == "ok"
    probe = QueueProbe(stepped.url, QUEUE)
    assert faults(probe.snapshot()) == []
    probe.close()


async def test_host_that_was_polite_does_not_wait_an_hour_after_a_step_back(
    queue: QueueDriver, stepped: SteppedServer
) -> None:
    await report(queue.transitions)
    await queue.submit("crawl", "http://a.test/", max_pages=9, host_delay_ms=1000)
    first = await queue.lease_one("w1")
    await queue.end("w1", first, links=["http://a.test/1"])
    stepped.step(-HOUR_S)
    await report(queue.transitions)
    [second] = (await queue.ask("w1", horizon_ms=2000)).pages
    moment_s, _ = await queue.redis.time()
    assert second.start_at_ms < (moment_s + 3) * 1000


async def test_supervisor_that_alone_was_stopped_moves_no_clock(
    queue: QueueDriver, stepped: SteppedServer
) -> None:
    """Its own clock stood still, the server's did not step: the others' reports say so."""
    others = Transitions(queue.redis, QUEUE)
    await report(queue.transitions, others)
    await queue.submit("held", max_duration_ms=120_000)
    await queue.lease_one("w1", lease_ms=LEASE_MS)
    deadline = await queue.redis.zscore(queue.keys.key("deadlines"), "held")
    for _ in range(10):
        stepped.step(4)
        await others.report_supervisor("s1", "{}", REPORT_KEPT_MS)
    await queue.transitions.report_supervisor("s0", "{}", REPORT_KEPT_MS)
    assert await queue.redis.zscore(queue.keys.key("deadlines"), "held") == deadline


async def test_time_goes_on_where_nobody_reports_any_more(
    queue: QueueDriver, stepped: SteppedServer
) -> None:
    """All supervisors died an hour ago: after a moment of doubt their leases are taken over."""
    await report(queue.transitions)
    await queue.submit("one")
    await queue.lease_one("w1", lease_ms=LEASE_MS)
    stepped.step(HOUR_S)
    assert await queue.transitions.reclaim_expired() == 0
    stepped.step(7)
    assert await queue.transitions.reclaim_expired() == 1
