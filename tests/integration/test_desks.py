"""Both desks behave the same: over Redis, and over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from scraper.jobs import (
    InvalidJobError,
    JobNotFoundError,
    JobState,
    JobStateError,
    load_config,
    open_queue,
)
from scraper.jobs.leases import PageOutcome
from scraper.jobs.model import JobSpec
from supervisor.cli import main
from supervisor.desk import Accepted, Desk, Refused, ServiceRefusesError, ServiceUnreachableError
from supervisor.desk_http import HttpDesk, ServiceError
from supervisor.desk_redis import RedisDesk
from supervisor.orders import NoSupervisorError
from tests.integration.conftest import QueuePlace
from tests.support.http_api import OPERATOR, Api
from tests.support.queue_driver import QueueDriver

pytestmark = pytest.mark.anyio

JOB = {"type": "single-page", "url": "http://site.test/", "customerId": "acme"}


@pytest.fixture(params=["redis", "http"])
async def desk(
    request: pytest.FixtureRequest, where: QueuePlace, operator: Api, queue: QueueDriver
) -> AsyncIterator[Desk]:
    if request.param == "http":
        opened: Desk = HttpDesk(f"http://127.0.0.1:{operator.port}/", OPERATOR)
    else:
        config = load_config({}, redis_url=where.url, queue_name=where.name)
        opened = RedisDesk(await open_queue(config))
    yield opened
    await opened.close()


async def test_wrong_jobs_do_not_stop_the_others(desk: Desk) -> None:
    outcomes = await desk.submit(
        [{**JOB, "jobId": "a"}, "nonsense", {**JOB, "maxPage": 3}, {**JOB, "jobId": "b"}]
    )
    assert outcomes[0] == Accepted("a", True)
    assert outcomes[3] == Accepted("b", True)
    wrong = outcomes[1:3]
    assert all(isinstance(outcome, Refused) for outcome in wrong)
    assert isinstance(wrong[1], Refused)
    assert [(it.field, it.hint) for it in wrong[1].faults] == [
        ("maxPage", "did you mean maxPages?")
    ]
    assert await desk.submit([{**JOB, "jobId": "a"}]) == [Accepted("a", False)]
    [alone] = await desk.submit([{**JOB, "maxPage": 3}])
    assert isinstance(alone, Refused)
    assert "did you mean maxPages?" in str(InvalidJobError(alone.faults))


async def test_lists_are_whole(desk: Desk, queue: QueueDriver) -> None:
    for number in range(7):
        await queue.submit(f"j{number}", customer_id="acme" if number % 2 else "other")
    everything = {"states": tuple(JobState), "customer_id": None, "job_type": None, "limit": 50}
    found = await desk.jobs(**everything)  # type: ignore[arg-type]
    assert {job.id for job in found} == {f"j{number}" for number in range(7)}
    assert len(await desk.jobs(**{**everything, "limit": 3})) == 3  # type: ignore[arg-type]
    acme = await desk.jobs(**{**everything, "customer_id": "acme"})  # type: ignore[arg-type]
    assert {job.customer_id for job in acme} == {"acme"}
    none = await desk.jobs(**{**everything, "states": [JobState.PAUSED]})  # type: ignore[arg-type]
    assert none == []
    assert await desk.rejected(10) == []


async def test_what_a_crawl_found_is_there(desk: Desk, queue: QueueDriver) -> None:
    spec = JobSpec.model_validate({**JOB, "type": "full-crawl", "jobId": "crawl"}).to_json()
    links = ["http://site.test/a"]
    await queue.start_crawl("crawl", links, start_url="http://site.test/", spec=spec)
    with pytest.raises(JobStateError):
        await desk.result("crawl")
    lease = await queue.lease_one()
    explained = await desk.explain("crawl", links[0])
    assert explained["sentence"] == (
        "http://site.test/a is being fetched; found on http://site.test/, "
        "one link away from the start"
    )
    await queue.end("w1", lease, PageOutcome.FAILED, code="http_404")
    view, result = await desk.job("crawl"), await desk.result("crawl")
    assert (view.state, view.pages.done, view.pages.failed) == (JobState.COMPLETED, 1, 1)
    assert view.duration_ms == result.duration
    assert (result.pages_scraped, result.error_count) == (1, 1)
    assert [error["code"] for error in await desk.errors("crawl")] == ["http_404"]
    assert [line async for line in desk.record_lines("crawl")] == [
        b'{"url":"http://site.test/","code":""}'
    ]
    assert await desk.filtered("crawl") == {}
    explained = await desk.explain("crawl", "http://site.test/a")
    assert explained["verdict"] == "failed"
    events = [event async for event in desk.events("0-0", follow=False)]
    assert [event["event"] for event in events if event["event"] != "jobProgress"] == [
        "jobWaiting", "workerActive", "pageCommitted", "pageCommitted", "workerCompleted",
    ]  # fmt: skip
    later = [event async for event in desk.events(events[2]["id"], follow=False)]
    assert later == events[3:]
    await desk.remove("crawl")
    with pytest.raises(JobNotFoundError, match="crawl"):
        await desk.job("crawl")


@pytest.mark.parametrize(
    ("asked", "limit", "delay_ms"),
    [
        ({"hostDelay": 2000, "hostConcurrency": 1}, 1, 2000),
        ({"hostConcurrency": 900}, 4, 0),
        ({"hostDelay": 2000, "turboMode": True}, 16, 2000),
        ({"useNewConfig": True, "newConfigPreset": "polite"}, 1, 2000),
    ],
)
async def test_job_may_be_gentler_with_hosts_than_the_settings_and_its_pace_says_so(
    desk: Desk, queue: QueueDriver, asked: dict[str, Any], limit: int, delay_ms: int
) -> None:
    assert await desk.submit([{**JOB, **asked, "jobId": "gentle"}]) == [Accepted("gentle", True)]
    stored = await queue.redis.hmget(queue.keys.job("gentle"), ["host_limit", "host_delay_ms"])
    assert stored == [str(limit).encode(), str(delay_ms).encode()]
    await queue.lease()  # a worker is there
    pace = await desk.pace("gentle")
    assert pace is not None
    assert (pace.reason, pace.delay_ms) == (("host_delay", delay_ms) if delay_ms else ("", 0))
    assert ("hostDelay" in pace.sentence) is bool(delay_ms)


async def test_jobs_and_the_queue_are_acted_on(desk: Desk) -> None:
    await desk.submit([{**JOB, "jobId": "one"}])
    assert await desk.pause("one") is JobState.WAITING
    assert await desk.resume("one") is JobState.WAITING
    with pytest.raises(JobStateError, match="cancel it first"):
        await desk.remove("one")
    assert await desk.cancel("one") is JobState.WAITING
    assert await desk.cancel("one") is JobState.CANCELLED
    await desk.retry("one", failed_pages_only=False)
    with pytest.raises(JobStateError, match="only an ended job"):
        await desk.retry("one", failed_pages_only=False)
    assert [await desk.pause_queue(True), await desk.pause_queue(True)] == [True, False]
    assert await desk.pause_queue(False)
    with pytest.raises(JobNotFoundError):
        await desk.cancel("unknown")


async def test_health_and_the_fleet_are_told(desk: Desk) -> None:
    health = await desk.health()
    assert health["healthy"] is True
    assert health["jobs"]["waiting"] == 0
    assert await desk.workers() == []
    with pytest.raises((NoSupervisorError, ServiceError), match="no supervisor is running"):
        await desk.order(None, "restart", "worker-1", 5)


async def test_a_wrong_token_and_a_wrong_address_are_told_apart(operator: Api) -> None:
    url = f"http://127.0.0.1:{operator.port}"
    for token in (None, "wrong-token"):
        desk = HttpDesk(url, token)
        with pytest.raises(ServiceRefusesError, match="token"):
            await desk.workers()
        await desk.close()
    away = HttpDesk("http://127.0.0.1:1", OPERATOR)
    with pytest.raises(ServiceUnreachableError, match="--server"):
        await away.workers()
    await away.close()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["jobs", "--server", "localhost:8000"], "no URL"),
        (["jobs", "--server", "http://x", "--redis-url", "redis://x"], "neither"),
    ],
)
async def test_a_wrong_place_is_refused(arguments: list[str], hint: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert isinstance(main, click.Group)
    assert hint in done.output
