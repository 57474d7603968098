"""Webhooks: each event at least once, in order a job, signed, whatever the receiver does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scraper.jobs import JobQueue, load_config, open_queue
from scraper.jobs.doors import DoorWatcher, doors_of
from scraper.jobs.ending import end_tasks
from supervisor.webhooks import WebhookDeliverer
from tests.integration.conftest import QueuePlace
from tests.support.http_api import OPERATOR, http_server
from tests.support.processes import ROOT
from tests.support.queue_driver import QueueDriver
from tests.support.redis_server import free_port
from tests.support.services import service_on, until
from tests.support.webhook_receiver import SECRET, Call, Receiver, receiver

pytestmark = pytest.mark.anyio

# An hour of backoff in less than a second.
QUICK: dict[str, Any] = {
    "webhook_backoff_s": 0.02, "webhook_backoff_max_s": 0.1, "webhook_timeout_s": 0.3,
    "webhook_attempts": 1000, "allow_private_hosts": "127.0.0.0/8",
}  # fmt: skip
PAGES = [f"http://site.test/{number}" for number in range(5)]


@asynccontextmanager
async def queue_with(place: QueuePlace, **settings: Any) -> AsyncIterator[JobQueue]:
    """An open queue with quick webhooks."""
    config = load_config({}, redis_url=place.url, queue_name=place.name, **{**QUICK, **settings})
    queue = await open_queue(config)
    try:
        yield queue
    finally:
        await queue.shutdown()


@asynccontextmanager
async def delivering(queue: JobQueue, name: str = "s") -> AsyncIterator[WebhookDeliverer]:
    """A supervisor's duty, while the block runs."""
    deliverer = WebhookDeliverer(queue, name)
    task = asyncio.create_task(deliverer.run())
    try:
        yield deliverer
    finally:
        await end_tasks([task])
        assert task.cancelled() or task.exception() is None


async def crawl(
    queue: JobQueue, job_id: str, url: str, pages: list[str] = PAGES, **hook: Any
) -> None:
    """A crawl with a webhook, done: workerActive, its pages, workerCompleted."""
    driver = QueueDriver(queue.redis, queue.name)
    await queue.add_job(
        {
            "type": "full-crawl", "url": pages[0], "jobId": job_id, "customerId": "acme",
            "maxPages": len(pages), "metadata": {"order": 17},
            "webhook": {"url": url, "secret": SECRET, **hook},
        }
    )  # fmt: skip
    await driver.end("w1", await driver.lease_one(), links=pages[1:])
    while leases := await driver.lease():
        for lease in leases:
            await driver.end("w1", lease)


def all_of(found: Receiver, job_id: str, pages: list[str] = PAGES) -> bool:
    return len(found.events(job_id)) == len(pages) + 2


async def test_events_arrive_in_order_signed_and_numbered(place: QueuePlace) -> None:
    async with receiver() as found, queue_with(place) as queue, delivering(queue):
        await crawl(queue, "one", found.url)
        await until(lambda: all_of(found, "one"))
        names = found.names("one")
        assert names == ["workerActive", *["pageCommitted"] * 5, "workerCompleted"]
        assert found.events("one") == list(range(1, 8))
        assert not found.forged
        last = found.taken[-1]
        assert last.json["metadata"] == {"order": 17}
        assert last.json["result"]["pagesScraped"] == 5
        assert last.headers["X-Scraper-Delivery"] == last.json["id"]
        assert last.headers["X-Scraper-Event"] == "workerCompleted"
        assert len({call.headers["X-Scraper-Delivery"] for call in found.taken}) == 7
        pages = {call.json["url"] for call in found.taken if call.json["event"] == "pageCommitted"}
        assert pages == set(PAGES)


async def test_only_the_events_that_were_asked_for(place: QueuePlace) -> None:
    async with receiver() as found, queue_with(place) as queue, delivering(queue):
        await crawl(queue, "one", found.url, events=["workerCompleted"])
        await until(lambda: found.names("one"))
        assert found.names("one") == ["workerCompleted"]
        assert found.events("one") == [1]


async def test_receiver_that_fails_hangs_redirects_and_comes_back(place: QueuePlace) -> None:
    async with receiver() as canary, receiver() as found, queue_with(place) as queue:
        bad = iter([500, None, canary.url, 404, 503] * 6)
        found.answer = lambda call: next(bad, 200)
        async with delivering(queue):
            await crawl(queue, "one", found.url)
            await crawl(queue, "two", found.url)
            await until(lambda: all_of(found, "one") and all_of(found, "two"), 60)
            for job in ("one", "two"):
                assert found.events(job) == list(range(1, 8))
            assert not found.forged
            assert canary.calls == []
            log = await queue.webhooks.log("one", 1000)
        assert {line["outcome"] for line in log["deliveries"]} == {"failed", "delivered"}
        errors = {line["error"] for line in log["deliveries"]}
        assert "no answer within 0.3 s" in errors or "answered 500" in errors
        assert (log["waiting"], log["attempts"], log["failingSince"]) == (0, 0, None)


async def test_receiver_that_is_away_for_an_hour_gets_all_when_it_is_back(
    place: QueuePlace,
) -> None:
    """The real waits, from 1 s on and doubling up to an hour, in a two-thousandth of the time: an
    hour's absence is the first twelve attempts."""
    port = free_port()
    waits = {"webhook_backoff_s": 0.0005, "webhook_backoff_max_s": 1.8, "webhook_give_up_s": 43.2}
    async with queue_with(place, **waits) as queue, delivering(queue):
        await crawl(queue, "one", f"http://127.0.0.1:{port}/hook")
        await until_log(queue, "one", lambda log: log["attempts"] >= 12, 60)
        log = await queue.webhooks.log("one")
        assert log["waiting"] == 7, "nothing was given up, and what came later waits behind it"
        assert {line["event"] for line in log["deliveries"]} == {"workerActive"}
        async with receiver(port=port) as found:
            await until(lambda: all_of(found, "one"), 60)
            assert found.events("one") == list(range(1, 8))
            assert not found.forged


async def test_dead_receiver_holds_back_no_other_job(place: QueuePlace) -> None:
    async with receiver(lambda call: None) as dead, receiver() as found, queue_with(place) as queue:
        for number in range(20):
            await crawl(queue, f"dead-{number}", dead.url, PAGES[:1])
        async with delivering(queue):
            await until(lambda: dead.calls)
            await crawl(queue, "alive", found.url)
            await until(lambda: all_of(found, "alive"), 10)
        assert dead.taken == []
        log = await queue.webhooks.log("dead-0")
        assert log["waiting"] == 3


async def test_private_address_is_given_up_without_a_call(place: QueuePlace) -> None:
    async with (
        receiver() as found,
        queue_with(place, allow_private_hosts="") as queue,
        delivering(queue),
    ):
        await crawl(queue, "one", found.url, events=["workerCompleted"])
        await until_log(queue, "one", lambda log: log["deliveries"])
        [line] = (await queue.webhooks.log("one"))["deliveries"]
        assert line["outcome"] == "given_up"
        assert "is not a public address" in line["error"]
        assert found.calls == []


async def until_log(queue: JobQueue, job_id: str, is_so: Any, timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so(await queue.webhooks.log(job_id)):
            await asyncio.sleep(0.02)


async def test_delivery_is_given_up_and_the_next_one_tried(place: QueuePlace) -> None:
    def answer(call: Call) -> int:
        return 500 if call.json["event"] == "workerActive" else 200

    async with (
        receiver(answer) as found,
        queue_with(place, webhook_attempts=3) as queue,
        delivering(queue),
    ):
        await crawl(queue, "one", found.url)
        await until(lambda: len(found.events("one")) == 6)
        assert [call.json["sequence"] for call in found.calls[:4]] == [1, 1, 1, 2]
        assert len({call.body for call in found.calls[:3]}) == 1
        log = await queue.webhooks.log("one")
        outcomes = [line["outcome"] for line in log["deliveries"][::-1][:4]]
        assert outcomes == ["failed", "failed", "given_up", "delivered"]


async def test_too_many_that_wait_are_a_gap_in_log_and_numbers(place: QueuePlace) -> None:
    pages = [f"http://site.test/{number}" for number in range(30)]
    async with (
        receiver() as found,
        queue_with(place, webhook_queue=10, webhook_log=1000) as queue,
    ):
        await crawl(queue, "one", found.url, pages)
        async with delivering(queue):
            await until(lambda: len(found.events("one")) == 10)
            await queue.transitions.retry_job("one")
        log = await queue.webhooks.log("one", 1000)
        [gap] = [line for line in log["deliveries"] if line["outcome"] == "gap"]
        assert (gap["sequence"], gap["count"], log["dropped"]) == (11, 22, 22)


async def test_one_of_two_supervisors_delivers_and_the_other_takes_over(place: QueuePlace) -> None:
    async with receiver() as found, queue_with(place) as queue:
        async with delivering(queue, "first") as first:
            await crawl(queue, "one", found.url)
            await until(lambda: all_of(found, "one"))
            async with delivering(queue, "second") as second:
                await crawl(queue, "two", found.url)
                await until(lambda: all_of(found, "two"))
                holder = await queue.redis.hget(queue.webhooks.keys.key("webhooks"), "holder")
                assert holder.decode().startswith("first")
                assert first._is_my_turn
                assert not second._is_my_turn
        async with delivering(queue, "second"):
            await crawl(queue, "three", found.url)
            await until(lambda: all_of(found, "three"))
        for job in ("one", "two", "three"):
            assert found.names(job) == ["workerActive", *["pageCommitted"] * 5, "workerCompleted"]


async def test_deliveries_outlive_their_job(place: QueuePlace) -> None:
    async with receiver() as found, queue_with(place) as queue:
        await crawl(queue, "one", found.url)
        await queue.remove("one")
        async with delivering(queue):
            await until(lambda: all_of(found, "one"))
        assert not found.forged


async def test_api_shows_the_log_redelivers_and_keeps_the_secret(place: QueuePlace) -> None:
    async with receiver() as found, queue_with(place) as queue, delivering(queue):
        await crawl(queue, "one", f"{found.url}?key=in-the-url")
        await until(lambda: all_of(found, "one"))
        await until_log(queue, "one", lambda log: not log["waiting"])
        await queue.redis.lpush(
            place.name, json.dumps({"url": "", "webhook": {"url": found.url, "secret": SECRET}})
        )
        assert await DoorWatcher(queue, queue.blocking).take(doors_of(queue.name, [])[0]) == 1
        with http_server(place.url, place.name, API_TOKEN=OPERATOR) as api:
            log = await asyncio.to_thread(api.get, "/jobs/one/deliveries")
            assert log.status == 200
            assert log.json["webhook"] == {
                "url": found.url, "isSigned": True,
                "events": ["workerActive", "pageCommitted", "workerCompleted", "workerFailed",
                           "jobCancelled"],
            }  # fmt: skip
            newest = log.json["deliveries"][0]
            assert (newest["event"], newest["outcome"]) == ("workerCompleted", "delivered")
            [completed] = {it.body for it in found.taken if b'"workerCompleted"' in it.body}
            path = f"/jobs/one/deliveries/{newest['id']}/redeliver"
            assert (await asyncio.to_thread(api.post, path)).status == 202
            await until(lambda: [it.body for it in found.taken].count(completed) == 2)
            unknown = await asyncio.to_thread(api.post, "/jobs/one/deliveries/1-1/redeliver")
            assert (unknown.status, unknown.code) == (409, "job_state")
            for path in (
                "/jobs", "/jobs/one", "/jobs/one/result", "/jobs/one/deliveries", "/rejected",
                "/jobs/one/data", "/jobs/one/errors", "/jobs/one/pages", "/workers",
                "/jobs/one/explain?url=http://site.test/0", "/events?after=0-0&follow=false",
            ):  # fmt: skip
                shown = await asyncio.to_thread(api.get, path)
                assert shown.status == 200, path
                assert SECRET.encode() not in shown.body, path
                assert b"in-the-url" not in shown.body, path


async def test_service_delivers_and_the_command_line_shows_it(place: QueuePlace) -> None:
    async with receiver() as found, service_on(place) as service:
        job = await service.queue.add_job(
            {
                "type": "single-page", "url": "http://127.0.0.1:9/", "customerId": "acme",
                "jobId": "one", "attempts": 1, "webhook": {"url": found.url, "secret": SECRET},
            }
        )  # fmt: skip
        await job.queue.cancel("one")
        await until(lambda: "jobCancelled" in found.names("one"))
        shown = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "supervisor", "deliveries", "one"], cwd=ROOT, env=place.env(),
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert "jobCancelled" in shown.stdout
        assert SECRET not in shown.stdout + shown.stderr
