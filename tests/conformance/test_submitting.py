"""Jobs come in: submits, delays, raw pushes claimed and refused."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tests.support.queue_driver import HOUR_MS, QueueDriver, submission
from tests.support.queue_snapshot import QueueProbe

pytestmark = [pytest.mark.anyio, pytest.mark.every_server]


async def test_same_id_twice_is_the_same_job(queue: QueueDriver, probe: QueueProbe) -> None:
    jobs = [submission("one"), submission("two"), submission("one", "http://other.test/")]
    assert await queue.transitions.submit_jobs(jobs) == [True, True, False]
    assert await queue.submit("one") is False
    snapshot = probe.snapshot()
    assert snapshot.jobs["one"].fields["start_url"] == "http://one.test/"
    assert snapshot.get("totals") == {"jobs_submitted": "2"}


async def test_nothing_is_accepted_when_a_start_url_has_no_host(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    with pytest.raises(ResponseError, match="no host"):
        await queue.transitions.submit_jobs([submission("one"), submission("two", "nonsense")])
    assert probe.snapshot().own == {}


async def test_id_of_a_finished_job_is_still_that_job(queue: QueueDriver) -> None:
    await queue.submit("one")
    await queue.end("w1", await queue.lease_one())
    assert await queue.submit("one") is False


async def test_delayed_job_starts_when_its_time_has_come(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("later", delay_ms=5000)
    assert await queue.transitions.promote_delayed() == 0
    probe.pass_time(5000, "delayed")
    assert await queue.transitions.promote_delayed() == 1
    assert probe.snapshot().jobs["later"].state == "waiting"


async def test_promotion_is_bounded(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.submit_many([submission(f"job-{it}", delay_ms=HOUR_MS) for it in range(100)])
    probe.pass_time(HOUR_MS, "delayed")
    assert await queue.transitions.promote_delayed(30) == 30
    assert await queue.transitions.promote_delayed(1000) == 70


async def test_pushes_are_claimed_first_in_first_out(queue: QueueDriver, probe: QueueProbe) -> None:
    for number in range(5):
        await queue.redis.lpush(queue.keys.inbox, f"push {number}")
    first = await queue.transitions.drain_inbox(queue.keys.inbox, 3)
    rest = await queue.transitions.drain_inbox(queue.keys.inbox, 3)
    payloads = [claim.payload for claim in (*first, *rest)]
    assert payloads == [f"push {number}".encode() for number in range(5)]
    claimed = probe.snapshot().get("claimed")
    assert claimed == {claim.claim_id: claim.payload.decode() for claim in (*first, *rest)}


async def test_payload_that_is_no_text_is_claimed_as_it_is(queue: QueueDriver) -> None:
    await queue.redis.lpush(queue.keys.inbox, b"\x80\x00\xff")
    [claim] = await queue.transitions.drain_inbox(queue.keys.inbox, 10)
    assert claim.payload == b"\x80\x00\xff"
    await queue.transitions.reject_push(claim.claim_id, "{}", "door", "not text")


async def test_submit_ends_its_claim(queue: QueueDriver, probe: QueueProbe) -> None:
    await queue.redis.lpush(queue.keys.inbox, "http://a.test/")
    [claim] = await queue.transitions.drain_inbox(queue.keys.inbox, 10)
    assert await queue.submit("one", claim=claim.claim_id)
    assert probe.snapshot().get("claimed") is None


async def test_claim_whose_job_is_known_already_ends_too(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("one")
    await queue.redis.lpush(queue.keys.inbox, '{"jobId":"one"}')
    [claim] = await queue.transitions.drain_inbox(queue.keys.inbox, 10)
    assert await queue.submit("one", claim=claim.claim_id) is False
    assert probe.snapshot().get("claimed") is None


async def test_claims_of_a_dead_process_are_found_by_their_age(queue: QueueDriver) -> None:
    await queue.redis.lpush(queue.keys.inbox, "a", "b")
    claims = await queue.transitions.drain_inbox(queue.keys.inbox, 10)
    assert await queue.transitions.old_claims(queue.keys.inbox, 10, HOUR_MS) == []
    old = await queue.transitions.old_claims(queue.keys.inbox, 10, 0)
    assert sorted(old, key=lambda it: it.claim_id) == sorted(claims, key=lambda it: it.claim_id)
    assert len(await queue.transitions.old_claims(queue.keys.inbox, 1, 0)) == 1


async def test_door_in_another_slot_has_its_claims_beside_it(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    door = "single-page:start_urls"
    await queue.redis.lpush(door, "http://a.test/")
    [claim] = await queue.transitions.drain_inbox(door, 10, queue_slot=False)
    stored = await queue.redis.hgetall(f"{{{door}}}:claimed")
    assert stored == {claim.claim_id.encode(): b"http://a.test/"}


async def test_refused_push_is_kept_with_its_reason_and_its_claim_ends(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.redis.lpush(queue.keys.inbox, "nonsense")
    [claim] = await queue.transitions.drain_inbox(queue.keys.inbox, 10)
    for _ in range(2):
        await queue.transitions.reject_push(claim.claim_id, '{"why":"x"}', "door", "no URL")
    snapshot = probe.snapshot()
    assert snapshot.get("rejected") == ['{"why":"x"}']
    assert snapshot.get("claimed") is None
    assert snapshot.get("totals") == {"pushes_rejected": "1"}


async def test_refused_pushes_are_bounded_and_counted(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.set(rejected_kept=3)
    for number in range(5):
        await queue.transitions.reject_push("", f"{number}", "door", "no URL")
    snapshot = probe.snapshot()
    assert snapshot.get("rejected") == ["4", "3", "2"]
    assert snapshot.get("totals") == {"pushes_rejected": "5"}


async def test_rejection_of_a_foreign_door_is_listed_once_when_it_is_repeated(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    for rejection in ('{"claim":"1-1"}', '{"claim":"1-1"}', '{"claim":"1-2"}'):
        await queue.transitions.reject_push("", rejection, "door", "no URL")
    assert probe.snapshot().get("rejected") == ['{"claim":"1-2"}', '{"claim":"1-1"}']
