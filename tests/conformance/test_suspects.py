"""Pages that kill their workers: suspected, handled alone, quarantined; innocents never charged."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from scraper.jobs.leases import Burial, LeasedPage, PageOutcome, WorkerDeath
from tests.support.queue_driver import QueueDriver, page_commit
from tests.support.queue_snapshot import QueueProbe

pytestmark = pytest.mark.anyio

A = "http://a.test/"
LINKS = [f"{A}{number}" for number in range(4)]
EVIDENCE = {"at": "2026-11-25T12:00:00Z", "exit": "killed by SIGKILL", "workerId": "s/worker-1"}


async def die(queue: QueueDriver, worker: str, begun: Sequence[LeasedPage]) -> Burial:
    tokens = [page.token for page in begun]
    return await queue.transitions.bury_worker(WorkerDeath(worker, json.dumps(EVIDENCE), tokens))


async def die_alone(queue: QueueDriver, times: int, url: str) -> Burial:
    """Each time, a new worker leases all and dies of this page."""
    burial = Burial(0, [])
    for number in range(times):
        worker = f"s/worker-1#{number}"
        [page] = [it for it in await queue.lease(worker) if it.url == url]
        burial = await die(queue, worker, [page])
    return burial


async def test_a_page_that_was_being_handled_is_a_suspect_behind_the_others(
    queue: QueueDriver,
) -> None:
    await queue.start_crawl("crawl", LINKS)
    held = await queue.lease("w1")
    assert await die(queue, "w1", held[:1]) == Burial(4, [])
    again = await queue.lease("w2")
    assert {it.url for it in again[:3]} == set(LINKS) - {held[0].url}
    assert again[3].url == held[0].url
    assert [it.is_suspect for it in again] == [False, False, False, True]
    assert {it.attempt for it in again} == {1}


async def test_the_first_death_is_not_charged_and_three_alone_quarantine(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    assert (await die_alone(queue, 3, LINKS[1])).quarantined == []
    assert (await die_alone(queue, 1, LINKS[1])).quarantined == [LINKS[1]]
    job = probe.snapshot().jobs["crawl"]
    page = job.pages[LINKS[1]]
    assert (page.state, page.note) == ("f", "quarantined")
    assert (job.number("failed"), job.number("fetches")) == (1, 2)
    [error] = [json.loads(text) for text in probe.snapshot().get("job:crawl:errors")]
    assert (error["url"], error["code"]) == (LINKS[1], "quarantined")
    assert "killed by SIGKILL" in error["message"]
    assert [death["alone"] for death in error["deaths"]] == [False, True, True, True]
    assert error["deaths"][0].items() >= EVIDENCE.items()


async def test_the_rest_of_a_job_goes_on_and_completes(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    await die_alone(queue, 4, LINKS[2])
    await queue.commit("w1", *map(page_commit, await queue.lease("w1")))
    job = probe.snapshot().jobs["crawl"]
    assert (job.state, job.number("done"), job.number("failed")) == ("completed", 4, 1)
    ends = [json.loads(event["d"]) for event in probe.events() if event["t"] == "pageCommitted"]
    assert [end["url"] for end in ends if end.get("code") == "quarantined"] == [LINKS[2]]


async def test_a_death_with_two_pages_in_hand_charges_neither(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    for number in range(6):
        worker = f"w{number}"
        pages = {it.url: it for it in await queue.lease(worker)}
        await die(queue, worker, [pages[LINKS[0]], pages[LINKS[1]]])
    suspects = probe.snapshot().jobs["crawl"].suspects
    assert {url: it["charges"] for url, it in suspects.items()} == {LINKS[0]: 0, LINKS[1]: 0}


async def test_leases_given_back_or_expired_make_no_suspects(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    await queue.lease("w1")
    await queue.transitions.reclaim_worker(["w1"])
    assert not any(it.is_suspect for it in await queue.lease("w2"))
    assert probe.snapshot().jobs["crawl"].suspects == {}


@pytest.mark.parametrize("outcome", [PageOutcome.DONE, PageOutcome.FAILED, PageOutcome.SKIPPED])
async def test_a_page_that_was_handled_without_a_death_is_no_suspect_any_more(
    queue: QueueDriver, probe: QueueProbe, outcome: PageOutcome
) -> None:
    await queue.start_crawl("crawl", LINKS)
    await die_alone(queue, 3, LINKS[0])
    [page] = [it for it in await queue.lease("w1") if it.is_suspect]
    assert await queue.end("w1", page, outcome) == "ok"
    job = probe.snapshot().jobs["crawl"]
    assert (job.suspects, job.number("suspects")) == ({}, 0)


async def test_a_suspect_whose_fetch_is_tried_again_stays_one(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", LINKS)
    await die_alone(queue, 1, LINKS[0])
    [page] = [it for it in await queue.lease("w1") if it.is_suspect]
    await queue.end("w1", page, PageOutcome.RETRY)
    [again] = await queue.lease("w1")
    assert (again.url, again.is_suspect, again.attempt) == (LINKS[0], True, 2)


async def test_a_late_burial_of_a_worker_whose_leases_expired_suspects_nobody(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS)
    held = await queue.lease("w1", lease_ms=60_000)
    probe.pass_time(60_000, "workers")
    await queue.transitions.reclaim_expired()
    await queue.lease("w2")
    assert await die(queue, "w1", held[:1]) == Burial(0, [])
    assert probe.snapshot().jobs["crawl"].suspects == {}


async def test_a_repeated_lease_call_still_says_which_page_is_the_suspect(
    queue: QueueDriver,
) -> None:
    await queue.start_crawl("crawl", LINKS)
    await die_alone(queue, 1, LINKS[3])
    for _ in range(2):
        pages = await queue.lease("w1", request_id="same")
        assert [it.url for it in pages if it.is_suspect] == [LINKS[3]]


async def test_a_job_whose_start_page_is_quarantined_is_not_tried_again(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, attempts=3)
    await die_alone(queue, 4, A)
    job = probe.snapshot().jobs["one"]
    assert (job.state, job.fields["error"]) == ("failed", "quarantined")


async def test_a_quarantined_page_retried_by_hand_is_alone_again_with_no_charge(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A)
    await die_alone(queue, 4, A)
    assert await queue.transitions.retry_job("one", failed_pages_only=True) == "failed"
    [page] = await queue.lease("w1")
    assert page.is_suspect
    assert probe.snapshot().jobs["one"].suspects[A]["charges"] == 0
    assert (await die(queue, "w1", [page])).quarantined == []
    assert (await die_alone(queue, 2, A)).quarantined == [A]


async def test_the_next_attempt_of_a_job_leaves_quarantined_pages_alone(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", LINKS, attempts=2)
    await die_alone(queue, 4, LINKS[0])
    await queue.commit("w1", *map(page_commit, await queue.lease("w1")))
    assert probe.snapshot().jobs["crawl"].pages[LINKS[0]].state == "f"
    assert await queue.transitions.retry_job("crawl", failed_pages_only=True) == "completed"
    assert [it.url for it in await queue.lease("w1")] == [LINKS[0]]
