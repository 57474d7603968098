"""How jobs end, are tried again, paused, removed and expire."""

from __future__ import annotations

import pytest

from scraper.jobs.leases import PageOutcome
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit
from tests.support.queue_snapshot import QueueProbe, StoredJob

pytestmark = pytest.mark.anyio

A = "http://a.test/"


def job_of(probe: QueueProbe, job_id: str = "crawl") -> StoredJob:
    return probe.snapshot().jobs[job_id]


async def now_ms(queue: QueueDriver) -> int:
    seconds, micros = await queue.redis.time()
    return int(seconds * 1000 + micros // 1000)


async def due_ms(queue: QueueDriver, member: str) -> float:
    """When it is looked at again, in epoch ms."""
    score = await queue.redis.zscore(queue.keys.key("delayed"), member)
    assert score is not None
    return float(score)


async def fail_start(queue: QueueDriver) -> None:
    await queue.end("w1", await queue.lease_one(), PageOutcome.FAILED, code="http_404")


# -- the end of a job ---------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [PageOutcome.DONE, PageOutcome.FAILED, PageOutcome.SKIPPED])
async def test_job_completes_in_the_step_that_ends_its_last_page(
    queue: QueueDriver, probe: QueueProbe, outcome: PageOutcome
) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, last = await queue.lease()
    await queue.end("w1", first)
    assert job_of(probe).state == "active"
    await queue.end("w1", last, outcome)
    job = job_of(probe)
    assert (job.state, job.fields["finish_reason"]) == ("completed", "finished")
    assert job.number("finished_at") >= job.number("started_at") > 0


async def test_job_with_a_delayed_page_is_not_finished(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, second = await queue.lease()
    await queue.end("w1", first, PageOutcome.RETRY, retry_delay_ms=HOUR_MS)
    await queue.end("w1", second)
    assert job_of(probe).state == "active"


async def test_job_whose_budget_is_used_ends_with_the_rest_counted_as_left(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}{it}" for it in range(9)], max_pages=3)
    await queue.commit("w1", *map(page_commit, await queue.lease()))
    job = job_of(probe)
    assert (job.state, job.fields["finish_reason"]) == ("completed", "max_pages")
    assert (job.number("done"), job.number("left"), job.number("known")) == (3, 7, 3)


async def test_job_fails_when_its_start_page_cannot_be_recorded(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, attempts=1)
    await fail_start(queue)
    job = job_of(probe, "one")
    assert (job.state, job.fields["error"]) == ("failed", "http_404")
    assert job.fields["finish_reason"] == "start_page"


@pytest.mark.parametrize("state", ["waiting", "delayed", "active", "paused"])
async def test_cancel_voids_leases_at_once_and_keeps_records(
    queue: QueueDriver, probe: QueueProbe, state: str
) -> None:
    leases = []
    if state in ("active", "paused"):
        await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
        leases = [await queue.lease_one("w1"), await queue.lease_one("w2")]
    else:
        await queue.submit("crawl", A, delay_ms=HOUR_MS if state == "delayed" else 0)
    if state == "paused":
        await queue.transitions.pause_job("crawl")
    assert await queue.transitions.cancel_job("crawl") == state
    assert await queue.transitions.cancel_job("crawl") == "cancelled"
    for worker, lease in zip(("w1", "w2"), leases, strict=False):
        assert await queue.end(worker, lease) == "lost"
    job = job_of(probe)
    assert (job.state, len(job.records)) == ("cancelled", 1 if leases else 0)
    assert await queue.lease() == []


async def test_job_past_its_duration_fails_with_its_records_and_is_not_tried_again(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"], attempts=3, max_duration_ms=60_000)
    lease = await queue.lease_one()
    probe.pass_time(60_000, "deadlines")
    assert await queue.transitions.expire_jobs() == 1
    assert await queue.end("w1", lease) == "lost"
    job = job_of(probe)
    assert (job.state, job.fields["finish_reason"]) == ("failed", "timeout")
    assert len(job.records) == 1


async def test_time_that_a_job_waits_does_not_count_as_its_duration(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, max_duration_ms=1)
    assert await queue.transitions.expire_jobs() == 0
    assert job_of(probe, "one").state == "waiting"


# -- attempts of a job --------------------------------------------------------------------------


async def test_failed_job_is_tried_again_with_fixed_backoff(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, attempts=3, backoff_type="fixed", backoff_ms=10_000)
    for attempt in (1, 2):
        before_ms = await now_ms(queue)
        await fail_start(queue)
        due = await due_ms(queue, "j one")
        assert before_ms + 8_000 <= due <= await now_ms(queue) + 12_000
        job = job_of(probe, "one")
        assert (job.state, job.number("attempt")) == ("delayed", attempt)
        probe.pass_time(12_000, "delayed")
    await fail_start(queue)
    assert job_of(probe, "one").state == "failed"
    assert len(probe.snapshot().get("job:one:errors")) == 3


async def test_exponential_backoff_doubles_up_to_its_cap(queue: QueueDriver) -> None:
    await queue.set(job_backoff_cap_ms=30_000)
    await queue.submit("one", A, attempts=9, backoff_type="exponential", backoff_ms=10_000)
    for expected in (10_000, 20_000, 30_000, 30_000):
        before_ms = await now_ms(queue)
        await fail_start(queue)
        due = await due_ms(queue, "j one")
        assert before_ms + 0.8 * expected <= due <= await now_ms(queue) + 1.2 * expected
        assert await queue.transitions.retry_job("one") == "delayed"


async def test_job_tried_again_may_succeed(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one", A, attempts=2)
    await fail_start(queue)
    probe.pass_time(2 * HOUR_MS, "delayed")
    lease = await queue.lease_one()
    assert lease.attempt == 1
    await queue.end("w1", lease)
    job = job_of(probe, "one")
    assert job.state == "completed"
    assert "error" not in job.fields


@pytest.mark.parametrize("code", ["robots Disallow: /", "blocked_address"])
async def test_forbidden_start_page_fails_its_job_at_once(
    queue: QueueDriver, probe: QueueProbe, code: str
) -> None:
    await queue.submit("one", A, attempts=3)
    outcome = PageOutcome.SKIPPED if code.startswith("robots") else PageOutcome.FAILED
    await queue.end("w1", await queue.lease_one(), outcome, code=code)
    job = job_of(probe, "one")
    name = code.partition(" ")[0]
    assert (job.state, job.fields["finish_reason"], job.fields["error"]) == ("failed", name, name)


async def test_skipped_start_page_is_tried_again_too(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one", A, attempts=2)
    await queue.end("w1", await queue.lease_one(), PageOutcome.SKIPPED, code="off_scope")
    probe.pass_time(2 * HOUR_MS, "delayed")
    await queue.end("w1", await queue.lease_one())
    assert job_of(probe, "one").state == "completed"


async def test_job_whose_errors_name_other_urls_is_tried_again_all_the_same(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, attempts=2)
    lease = await queue.lease_one()
    await queue.end("w1", lease, PageOutcome.FAILED, payload=b"\xff not JSON")
    probe.pass_time(2 * HOUR_MS, "delayed")
    assert len(await queue.lease()) == 1


async def test_retry_runs_what_is_left_and_what_failed(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}{it}" for it in range(5)], host_limit=9)
    pages = await queue.lease()
    await queue.end("w1", pages[0])
    await queue.end("w1", pages[1], PageOutcome.FAILED)
    await queue.end("w1", pages[2], PageOutcome.SKIPPED)
    await queue.end("w1", pages[3], PageOutcome.RETRY, retry_delay_ms=HOUR_MS)
    await queue.transitions.cancel_job("crawl")
    assert await queue.transitions.retry_job("crawl") == "cancelled"
    again = await queue.lease()
    assert sorted(it.url for it in again) == sorted(pages[it].url for it in (1, 3, 4))
    await queue.commit("w1", *map(page_commit, again))
    job = job_of(probe)
    assert (job.state, job.number("done"), job.number("left")) == ("completed", 5, 0)


async def test_retry_of_failed_pages_only_leaves_the_rest(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}{it}" for it in range(5)], host_limit=9)
    pages = await queue.lease(pages=2)
    await queue.end("w1", pages[0], PageOutcome.FAILED)
    await queue.transitions.cancel_job("crawl")
    assert await queue.transitions.retry_job("crawl", failed_pages_only=True) == "cancelled"
    again = await queue.lease()
    assert [it.url for it in again] == [pages[0].url]
    # A redirect to a page that was left behind records that page.
    assert await queue.end("w1", again[0], url=f"{A}4") == "ok"
    job = job_of(probe)
    assert (job.state, job.number("left"), job.pages[f"{A}4"].state) == ("completed", 3, "d")
    assert await queue.transitions.retry_job("crawl") == "completed"
    assert len(await queue.lease()) == 3


async def test_retry_without_anything_to_run_changes_nothing(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A)
    await queue.end("w1", await queue.lease_one())
    await queue.start_crawl("crawl", [f"{A}1"])
    await queue.transitions.cancel_job("crawl")
    before = probe.snapshot().all
    assert await queue.transitions.retry_job("one") == "nothing"
    assert await queue.transitions.retry_job("crawl", failed_pages_only=True) == "nothing"
    assert await queue.transitions.retry_job("never-was") == ""
    assert probe.snapshot().all == before


async def test_retry_of_an_unfinished_job_changes_nothing(queue: QueueDriver) -> None:
    await queue.submit("one", A)
    assert await queue.transitions.retry_job("one") == "waiting"
    await queue.lease_one()
    assert await queue.transitions.retry_job("one") == "active"


async def test_retried_job_does_not_expire_as_a_finished_one(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}1"], result_ttl_ms=HOUR_MS)
    await queue.transitions.cancel_job("crawl")
    await queue.transitions.retry_job("crawl")
    probe.pass_time(2 * HOUR_MS, "expiries")
    await queue.transitions.promote_delayed()
    assert job_of(probe).state == "waiting"


# -- pause and resume ---------------------------------------------------------------------------


async def test_paused_job_keeps_its_place_delay_and_time(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("waits", A)
    before_ms = await now_ms(queue)
    await queue.submit("later", A, delay_ms=60_000)
    await queue.transitions.pause_job("waits")
    await queue.transitions.pause_job("later")
    probe.pass_time(HOUR_MS, "delayed")
    await queue.transitions.promote_delayed()
    assert await queue.lease() == []
    assert await queue.transitions.resume_job("waits") == "waiting"
    assert await queue.transitions.resume_job("later") == "delayed"
    due = await due_ms(queue, "j later")
    assert before_ms + 60_000 <= due <= await now_ms(queue) + 60_000
    assert [it.job_id for it in await queue.lease()] == ["waits"]


async def test_time_of_a_paused_job_stands_still(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", [f"{A}1"], max_duration_ms=60_000)
    await queue.transitions.pause_job("crawl")
    assert probe.snapshot().get("deadlines") is None
    await queue.transitions.resume_job("crawl")
    probe.pass_time(59_000, "deadlines")
    assert await queue.transitions.expire_jobs() == 0
    probe.pass_time(1000, "deadlines")
    assert await queue.transitions.expire_jobs() == 1


async def test_paused_job_finishes_when_its_last_page_in_flight_ends(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A)
    lease = await queue.lease_one()
    await queue.transitions.pause_job("one")
    await queue.end("w1", lease)
    assert job_of(probe, "one").state == "completed"


async def test_paused_job_whose_attempt_fails_stays_paused(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, attempts=2, backoff_ms=60_000)
    lease = await queue.lease_one()
    await queue.transitions.pause_job("one")
    await queue.end("w1", lease, PageOutcome.FAILED)
    assert job_of(probe, "one").state == "paused"
    probe.pass_time(HOUR_MS, "delayed")
    assert await queue.lease() == []
    assert await queue.transitions.resume_job("one") == "delayed"
    probe.pass_time(72_000, "delayed")
    assert len(await queue.lease()) == 1


async def test_pages_delayed_during_a_pause_go_on_after_it(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, second = await queue.lease()
    await queue.transitions.pause_job("crawl")
    await queue.end("w1", first, PageOutcome.RETRY, retry_delay_ms=1000)
    await queue.transitions.release_pages("w1", [second.token])
    probe.pass_time(1000, "delayed")
    await queue.transitions.promote_delayed()
    assert await queue.lease() == []
    await queue.transitions.resume_job("crawl")
    assert len(await queue.lease()) == 2


async def test_budget_freed_during_a_pause_is_used_after_it(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", [f"{A}{it}" for it in range(5)], max_pages=2)
    lease = await queue.lease_one()
    assert await queue.lease() == []
    await queue.transitions.pause_job("crawl")
    await queue.end("w1", lease, PageOutcome.FAILED)
    assert await queue.lease() == []
    await queue.transitions.resume_job("crawl")
    assert len(await queue.lease()) == 1


async def test_pause_and_resume_of_ended_or_unknown_jobs_change_nothing(
    queue: QueueDriver,
) -> None:
    await queue.submit("one", A)
    await queue.transitions.cancel_job("one")
    assert await queue.transitions.pause_job("one") == "cancelled"
    assert await queue.transitions.resume_job("one") == "cancelled"
    assert await queue.transitions.pause_job("never-was") == ""
    assert await queue.transitions.resume_job("never-was") == ""


# -- removal ------------------------------------------------------------------------------------


async def test_removed_job_leaves_no_key(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", [f"{A}{it}" for it in range(9)])
    pages = await queue.lease()
    await queue.end("w1", pages[0], PageOutcome.FAILED)
    await queue.end("w1", pages[1], PageOutcome.RETRY, retry_delay_ms=HOUR_MS)
    assert await queue.transitions.remove_job("crawl") == "active"
    await queue.transitions.cancel_job("crawl")
    assert await queue.transitions.remove_job("crawl") == "cancelled"
    assert await queue.transitions.remove_job("crawl") == ""
    await queue.transitions.reclaim_worker(["w1"])
    probe.pass_time(HOUR_MS, "delayed", "hosts")
    await queue.transitions.promote_delayed()
    kept = {"meta", "totals", "measures", "virtual_time", "events"}
    assert probe.snapshot().own.keys() == kept


async def test_results_are_removed_after_their_time(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("short", A, result_ttl_ms=HOUR_MS)
    await queue.submit("long", A, result_ttl_ms=9 * HOUR_MS)
    for _ in range(2):
        await queue.end("w1", await queue.lease_one())
    probe.pass_time(HOUR_MS, "expiries")
    await queue.transitions.promote_delayed()
    assert probe.snapshot().jobs.keys() == {"long"}


async def test_result_with_no_time_at_all_goes_in_the_same_step(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, result_ttl_ms=0)
    assert await queue.end("w1", await queue.lease_one()) == "ok"
    assert probe.snapshot().jobs == {}


async def test_only_the_newest_results_are_kept(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.set(finished_jobs_kept=2)
    for number in range(5):
        await queue.submit(f"job-{number}", A)
        await queue.end("w1", await queue.lease_one())
    assert probe.snapshot().jobs.keys() == {"job-3", "job-4"}


async def test_id_of_a_removed_job_can_be_used_again(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one", A)
    await queue.end("w1", await queue.lease_one(), PageOutcome.RETRY, retry_delay_ms=HOUR_MS)
    await queue.transitions.cancel_job("one")
    await queue.transitions.remove_job("one")
    assert await queue.submit("one", A)
    assert len(await queue.lease()) == 1


async def test_foreground_job_that_is_retried_by_hand_is_taken_by_any_worker_of_its_type(
    queue: QueueDriver,
) -> None:
    await queue.submit("one", pool="@one")
    await queue.end("w1", await queue.lease_one("w1", pools=["@one"]), PageOutcome.FAILED)
    assert await queue.transitions.retry_job("one") == "failed"
    await queue.end("w2", await queue.lease_one("w2"))
    assert await queue.redis.zcard(queue.keys.key("jobs:completed")) == 1
