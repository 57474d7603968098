"""One scene for each transition: what stands before, and the call that tests repeat or lose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from scraper.jobs.events import QueueEvent
from scraper.jobs.leases import LeaseRequest, PageOutcome, WorkerDeath
from scraper.jobs.webhooks import Attempt, Outcome, Webhooks
from tests.support.queue_driver import HOUR_MS, POOLS, QueueDriver, page_commit, submission
from tests.support.queue_snapshot import QueueProbe

Call = Callable[[QueueDriver], Awaitable[object]]
Scene = Callable[[QueueDriver, QueueProbe], Awaitable[Call]]

A, B, C = "http://a.test/", "http://a.test/b", "http://a.test/c"


async def submit_jobs(queue: QueueDriver, probe: QueueProbe) -> Call:
    jobs = [submission("one"), submission("two", delay_ms=HOUR_MS)]
    return lambda q: q.transitions.submit_jobs(jobs)


async def drain_inbox(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.redis.lpush(queue.keys.inbox, A, B)
    return lambda q: q.transitions.drain_inbox(q.keys.inbox, 10)


async def reject_push(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.redis.lpush(queue.keys.inbox, "nonsense")
    [claim] = await queue.transitions.drain_inbox(queue.keys.inbox, 10)
    return lambda q: q.transitions.reject_push(claim.claim_id, "{}", q.keys.inbox, "no URL")


async def lease_pages(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.submit("one")
    request = LeaseRequest("the-request", pages=2, slots=4, pools=POOLS)
    return lambda q: q.transitions.lease_pages("w1", request, HOUR_MS)


async def commit_pages(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C], start_url=A)
    await queue.submit("one")
    await queue.submit("two")
    by_job = {(it.job_id, it.url): it for it in await queue.lease()}
    commits = [
        page_commit(by_job["crawl", B], links=[A, f"{A}new"]),
        page_commit(by_job["crawl", C], PageOutcome.RETRY, retry_delay_ms=HOUR_MS),
        page_commit(by_job["one", "http://one.test/"], PageOutcome.FAILED),
        page_commit(by_job["two", "http://two.test/"]),
    ]
    return lambda q: q.commit("w1", *commits)


async def release_pages(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    leases = await queue.lease()
    return lambda q: q.transitions.release_pages("w1", [lease.token for lease in leases])


async def keep_leases(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    leases = await queue.lease()
    return lambda q: q.transitions.keep_leases("w1", [leases[0].token])


async def reclaim_worker(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.lease()
    return lambda q: q.transitions.reclaim_worker(["w1", "never-seen"])


async def bury_worker(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    begun, _ = await queue.lease()
    death = WorkerDeath("w1", '{"exit": "killed by SIGSEGV"}', [begun.token, "999-void"])
    return lambda q: q.transitions.bury_worker(death)


async def reclaim_expired(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.lease()
    probe.pass_time(2 * HOUR_MS, "workers")
    return lambda q: q.transitions.reclaim_expired()


async def extend_leases(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.lease()
    return lambda q: q.transitions.extend_leases("w1", HOUR_MS, ["crawl"])


async def promote_delayed(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("later", delay_ms=HOUR_MS)
    await queue.submit("one")
    lease = await queue.lease_one()
    await queue.end("w1", lease, PageOutcome.RETRY, retry_delay_ms=HOUR_MS)
    probe.pass_time(HOUR_MS, "delayed")
    return lambda q: q.transitions.promote_delayed()


async def expire_jobs(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.lease()
    probe.pass_time(HOUR_MS, "deadlines")
    return lambda q: q.transitions.expire_jobs()


async def cancel_job(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.lease_one()
    return lambda q: q.transitions.cancel_job("crawl")


async def pause_job(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.lease_one()
    return lambda q: q.transitions.pause_job("crawl")


async def resume_job(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.transitions.pause_job("crawl")
    return lambda q: q.transitions.resume_job("crawl")


async def retry_job(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.end("w1", await queue.lease_one(), PageOutcome.FAILED)
    await queue.transitions.cancel_job("crawl")
    return lambda q: q.transitions.retry_job("crawl")


async def remove_job(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    await queue.transitions.cancel_job("crawl")
    return lambda q: q.transitions.remove_job("crawl")


async def pause_queue(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("one")
    return lambda q: q.transitions.pause_queue(True, POOLS)


async def count_ready(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    return lambda q: q.transitions.count_ready(POOLS)


async def publish_events(queue: QueueDriver, probe: QueueProbe) -> Call:
    events = [("workerReady", '{"workerId":"s/worker-1"}'), ("started", "{}")]
    await queue.transitions.publish_events("s", "process", 1, events)
    return lambda q: q.transitions.publish_events("s", "process", 2, events)


async def report_supervisor(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("one")
    return lambda q: q.transitions.report_supervisor("s", "{}", HOUR_MS, (4, 3, 2**31, 2**32))


async def take_start(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("one", A, host_delay_ms=HOUR_MS)
    lease = await queue.lease_one()
    return lambda q: q.transitions.take_start("w1", lease.token, 1, B)


async def claim_robots(queue: QueueDriver, probe: QueueProbe) -> Call:
    return lambda q: q.transitions.claim_robots("http://a.test", "w1", HOUR_MS)


async def store_robots(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("one", A)
    await queue.lease_one()
    return lambda q: q.transitions.store_robots("http://a.test", "a.test", b"x", HOUR_MS, 5000)


async def job_pace(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.start_crawl("crawl", [B, C])
    return lambda q: q.transitions.job_pace("crawl")


HOOKED = '{"v":1,"type":"single-page","url":"http://one.test/","webhook":{"url":"http://r.test/"}}'
EVENT = QueueEvent("1-0", "workerActive", "one", "acme", 1, {"workerId": "w1"})


def hooks_of(queue: QueueDriver) -> Webhooks:
    return Webhooks(queue.redis, queue.transitions)


async def queue_one(queue: QueueDriver) -> None:
    """A job with a webhook, and one delivery that waits."""
    await queue.submit("one", spec=HOOKED)
    turn = await hooks_of(queue).claim("d1", HOUR_MS)
    assert turn is not None
    assert await hooks_of(queue).queue("d1", turn.position, "1-0", [EVENT]) == 1


async def claim_webhooks(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("one", spec=HOOKED)
    return lambda q: hooks_of(q).claim("d1", HOUR_MS)


async def queue_deliveries(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue.submit("one", spec=HOOKED)
    await hooks_of(queue).claim("d1", HOUR_MS)
    return lambda q: hooks_of(q).queue("d1", "0-0", "1-0", [EVENT])


async def settle_delivery(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue_one(queue)
    [head] = await hooks_of(queue).heads(["one"])
    failed = Attempt(Outcome.FAILED, 500, 7, "answered 500", HOUR_MS)
    return lambda q: hooks_of(q).settle("d1", head, failed)


async def redeliver(queue: QueueDriver, probe: QueueProbe) -> Call:
    await queue_one(queue)
    [head] = await hooks_of(queue).heads(["one"])
    assert await hooks_of(queue).settle("d1", head, Attempt(Outcome.DELIVERED, 200))
    return lambda q: hooks_of(q).redeliver("one", "1-0", "the request")


SCENES: tuple[Scene, ...] = (
    submit_jobs, drain_inbox, reject_push, lease_pages, commit_pages, release_pages, keep_leases,
    reclaim_worker, bury_worker, reclaim_expired, extend_leases, promote_delayed, expire_jobs,
    cancel_job, pause_job, resume_job, retry_job, remove_job, pause_queue, count_ready,
    publish_events, report_supervisor, take_start, claim_robots, store_robots,
    job_pace, claim_webhooks, queue_deliveries, settle_delivery, redeliver,
)  # fmt: skip
