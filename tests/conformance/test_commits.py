"""Committing pages: the fence, exactly-once records, redirects, links, filtered counts."""

from __future__ import annotations

import pytest

from scraper.jobs.leases import CommitOutcome, Filtered, PageOutcome
from tests.support.queue_driver import HOUR_MS, QueueDriver, page_commit
from tests.support.queue_snapshot import QueueProbe, StoredJob

pytestmark = [pytest.mark.anyio, pytest.mark.every_server]

A = "http://a.test/"


def job_of(probe: QueueProbe, job_id: str = "crawl") -> StoredJob:
    return probe.snapshot().jobs[job_id]


async def test_record_is_stored_with_its_url_and_counted(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A)
    lease = await queue.lease_one()
    assert await queue.end("w1", lease, payload=b'{"title":"T"}', body_bytes=77) == "ok"
    job = job_of(probe, "one")
    assert (job.records, job.recorded) == (['{"title":"T"}'], [A])
    assert (job.number("bytes"), job.number("body_bytes"), job.number("done")) == (13, 77, 1)
    assert job.fields["site"] == A


async def test_page_is_recorded_once_however_often_it_is_committed(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=5)
    lease = await queue.lease_one()
    commit = page_commit(lease, links=[f"{A}1"])
    assert await queue.commit("w1", commit, commit) == ["ok", "lost"]
    assert await queue.commit("w1", commit) == ["lost"]
    job = job_of(probe)
    assert (job.number("done"), job.number("queued"), len(job.records)) == (1, 1, 1)
    assert probe.snapshot().get("totals")["pages_committed"] == "1"


async def test_reclaimed_page_cannot_be_committed_by_its_old_worker(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=5)
    old = await queue.lease_one("w1")
    await queue.transitions.reclaim_worker(["w1"])
    new = await queue.lease_one("w2")
    assert new.url == old.url
    before = probe.snapshot().all
    stale = page_commit(old, links=[f"{A}x"], filtered=[Filtered("trap", 1)], host_pause_ms=HOUR_MS)
    assert await queue.commit("w1", stale) == [CommitOutcome.LEASE_LOST]
    assert probe.snapshot().all == before
    assert await queue.end("w2", new) == "ok"


async def test_token_is_good_for_its_own_worker_only(queue: QueueDriver) -> None:
    await queue.submit("one")
    lease = await queue.lease_one("w1")
    assert await queue.end("w2", lease) == "lost"
    assert await queue.transitions.release_pages("w2", [lease.token]) == 0
    assert await queue.end("w1", lease) == "ok"


async def test_token_of_before_a_data_loss_fits_no_lease_of_after(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    # A server that comes back without its newest writes has counted back, too.
    await queue.submit("one", A)
    old = await queue.lease_one()
    probe.flush()
    await queue.submit("two", A)
    new = await queue.lease_one()
    assert await queue.end("w1", old) == "lost"
    assert await queue.end("w1", new) == "ok"


async def test_batch_commits_pages_of_several_jobs(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("one")
    await queue.submit("two")
    await queue.submit("crawl", max_pages=9)
    pages = await queue.lease()
    replies = await queue.commit("w1", *(page_commit(it, links=[f"{A}1"]) for it in pages))
    assert replies == ["ok", "ok", "ok"]
    states = {job.id: job.state for job in probe.snapshot().jobs.values()}
    assert states == {"one": "completed", "two": "completed", "crawl": "active"}


async def test_each_page_of_a_batch_is_answered_for_itself(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=9)
    await queue.end("w1", await queue.lease_one(), links=[f"{A}{n}" for n in range(4)])
    pages = await queue.lease(pages=4)
    await queue.transitions.release_pages("w1", [pages[1].token])
    commits = [page_commit(it) for it in pages]
    commits[2] = page_commit(pages[2], url=A)
    assert await queue.commit("w1", *commits) == ["ok", "lost", "duplicate", "ok"]
    assert job_of(probe).recorded == [A, pages[0].url, pages[3].url]


async def test_url_is_recorded_alike_told_with_the_commit_or_not(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=9)
    await queue.end("w1", await queue.lease_one(), links=[f"{A}1", f"{A}2"])
    one, two = await queue.lease(pages=2)
    await queue.commit("w1", page_commit(one), page_commit(two, leased_url=""))
    job = job_of(probe)
    assert job.recorded == [A, one.url, two.url]
    assert [job.pages[it.url].state for it in (one, two)] == ["d", "d"]


async def test_pages_of_a_larger_job_are_no_list_to_go_through(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=99)
    await queue.end("w1", await queue.lease_one(), links=[f"{A}{n}" for n in range(40)])
    key = queue.keys.key("job:crawl:pages")
    assert probe.redis.object("encoding", key) == b"listpack"
    await queue.end("w1", await queue.lease_one(), links=[f"{A}{n}" for n in range(60)])
    assert probe.redis.object("encoding", key) == b"hashtable"
    assert set(job_of(probe).pages) == {A, *(f"{A}{n}" for n in range(60))}


async def test_known_links_are_queued_once(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2", f"{A}1", "http://crawl.test/"])
    assert sorted(page.url for page in await queue.lease()) == [f"{A}1", f"{A}2"]
    assert job_of(probe).number("known") == 3


async def test_lower_depth_of_a_queued_page_wins(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, second = await queue.lease()
    await queue.end("w1", first, links=[f"{A}deep"])
    deep = await queue.lease_one()
    await queue.end("w1", deep, links=["http://b.test/x"])
    assert job_of(probe).pages["http://b.test/x"].depth == 3
    await queue.end("w1", second, links=["http://b.test/x"])
    assert job_of(probe).pages["http://b.test/x"].depth == 2


async def test_link_that_is_no_url_is_filtered_and_harms_nothing(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", ["", "nonsense", "http:///path", f"{A}good"])
    assert [page.url for page in await queue.lease()] == [f"{A}good"]
    assert probe.snapshot().get("job:crawl:filtered") == {"malformed": "3"}


async def test_filtered_links_are_counted_by_reason_with_a_sample(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=5)
    lease = await queue.lease_one()
    filtered = [Filtered("off_scope", 3, "http://x.test/"), Filtered("trap", 2)]
    await queue.end("w1", lease, links=[f"{A}1"], filtered=filtered)
    await queue.end("w1", await queue.lease_one(), filtered=[Filtered("trap", 5, f"{A}t")])
    snapshot = probe.snapshot()
    assert snapshot.get("job:crawl:filtered") == {"off_scope": "3", "trap": "7"}
    assert snapshot.get("job:crawl:filtered_sample") == [f"trap {A}t", "off_scope http://x.test/"]


async def test_sample_of_filtered_links_is_bounded(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit("crawl", A, max_pages=5)
    many = [Filtered("trap", 1, f"{A}{number}") for number in range(500)]
    await queue.end("w1", await queue.lease_one(), filtered=many, links=[f"{A}1"])
    await queue.end("w1", await queue.lease_one(), filtered=many)
    assert len(probe.snapshot().get("job:crawl:filtered_sample")) == 200
    assert probe.snapshot().get("job:crawl:filtered") == {"trap": "1000"}


async def test_retried_page_is_fetched_again_after_its_delay(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A, attempts=1)
    lease = await queue.lease_one()
    assert await queue.end("w1", lease, PageOutcome.RETRY, retry_delay_ms=5000) == "ok"
    assert await queue.lease() == []
    assert job_of(probe, "one").state == "active"
    probe.pass_time(5000, "delayed")
    again = await queue.lease_one()
    assert (again.url, again.attempt) == (A, 2)


async def test_extra_of_a_page_survives_retry_and_release(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", [f'{A}1 {{"callback":"parse item"}}'])
    lease = await queue.lease_one()
    await queue.end("w1", lease, PageOutcome.RETRY, retry_delay_ms=0)
    lease = await queue.lease_one()
    await queue.transitions.release_pages("w1", [lease.token])
    lease = await queue.lease_one()
    assert (lease.extra, lease.attempt) == ('{"callback":"parse item"}', 2)


async def test_commit_with_thousands_of_links_goes_through(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    links = [f"http://h{number % 50}.test/{number}" for number in range(10_000)]
    await queue.start_crawl("crawl", links, max_pages=10_000)
    assert job_of(probe).number("queued") == 10_000


# -- redirects ----------------------------------------------------------------------------------


async def test_redirect_to_an_unknown_page_is_recorded_under_its_target(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}old"])
    assert await queue.end("w1", await queue.lease_one(), url=f"{A}new", links=[f"{A}x"]) == "ok"
    job = job_of(probe)
    assert job.recorded == ["http://crawl.test/", f"{A}new"]
    assert (job.pages[f"{A}old"].state, job.pages[f"{A}new"].state) == ("d", "a")
    assert job.number("known") == 3
    # A link to the target is a link to a page that is there already.
    await queue.end("w1", await queue.lease_one(), links=[f"{A}new"])
    assert job_of(probe).state == "completed"


async def test_redirect_to_a_recorded_page_is_a_duplicate(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2", f"{A}3"])
    first, second, third = await queue.lease()
    await queue.end("w1", first)
    assert await queue.end("w1", second, url=f"{A}1") == CommitOutcome.DUPLICATE
    await queue.end("w1", third, url=f"{A}alias")
    job = job_of(probe)
    assert (job.state, job.number("done"), job.number("skipped")) == ("completed", 3, 1)
    assert job.pages[f"{A}2"].note == f"duplicate {A}1"


async def test_second_redirect_to_the_same_target_is_a_duplicate(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, second = await queue.lease()
    commits = [page_commit(it, url=f"{A}target") for it in (first, second)]
    assert await queue.commit("w1", *commits) == ["ok", "duplicate"]


async def test_redirect_to_a_leased_page_leaves_it_to_its_holder(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", [f"{A}1", f"{A}2"])
    first, second = await queue.lease()
    assert await queue.end("w1", first, url=second.url) == CommitOutcome.DUPLICATE
    assert await queue.end("w1", second) == "ok"
    assert job_of(probe).number("done") == 2


@pytest.mark.parametrize("outcome", ["queued", "delayed", "failed", "skipped"])
async def test_redirect_to_a_page_not_recorded_yet_records_that_page(
    queue: QueueDriver, probe: QueueProbe, outcome: str
) -> None:
    await queue.start_crawl("crawl", [f"{A}target", f"{A}1", f"{A}2"], host_limit=1)
    if outcome != "queued":
        ends = {
            "delayed": PageOutcome.RETRY, "failed": PageOutcome.FAILED,
            "skipped": PageOutcome.SKIPPED,
        }  # fmt: skip
        target = await queue.lease_one()
        assert target.url == f"{A}target"
        await queue.end("w1", target, ends[outcome], retry_delay_ms=HOUR_MS)
    else:
        # Behind the others, so that it still waits.
        target = await queue.lease_one()
        await queue.transitions.release_pages("w1", [target.token])
        probe.redis.lmove(*(queue.keys.job("crawl", "lane:a.test"),) * 2, "LEFT", "RIGHT")
    first = await queue.lease_one()
    assert await queue.end("w1", first, url=f"{A}target") == "ok"
    job = job_of(probe)
    assert (job.pages[f"{A}target"].state, job.pages[first.url].state) == ("d", "s")
    second = await queue.lease_one()
    assert await queue.end("w1", second, url=f"{A}target") == CommitOutcome.DUPLICATE
    job = job_of(probe)
    assert (job.state, job.number("done"), job.number("known")) == ("completed", 2, 4)


async def test_start_page_that_redirects_still_starts_its_job(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one", A)
    await queue.end("w1", await queue.lease_one(), url="http://www.a.test/")
    job = job_of(probe, "one")
    assert (job.state, job.fields["site"]) == ("completed", "http://www.a.test/")
