"""Order among jobs: priority, fair turns of customers by weight, first in first out inside one."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.queue_driver import QueueDriver, page_commit, submission

pytestmark = pytest.mark.anyio


ODD = ("-1", "0", "much", "nan", "inf", "1e-300", "1e300")


async def order(queue: QueueDriver, limit: int = 1000) -> list[str]:
    """Job ids in the order in which their pages are leased, one at a time."""
    jobs: list[str] = []
    while len(jobs) < limit:
        pages = await queue.lease(pages=1, slots=1)
        if not pages:
            break
        jobs.append(pages[0].job_id)
        await queue.commit("w1", page_commit(pages[0]))
    return jobs


async def test_jobs_of_a_customer_run_first_in_first_out(queue: QueueDriver) -> None:
    names = [f"job-{number}" for number in (3, 1, 2, 9, 0)]
    for name in names:
        await queue.submit(name)
    assert await order(queue) == names


async def test_higher_priority_goes_first_whoever_waits_longer(queue: QueueDriver) -> None:
    await queue.submit("low", priority=-5)
    await queue.submit("usual")
    await queue.submit("high", priority=10, customer_id="other")
    await queue.submit("higher", priority=200)
    assert await order(queue) == ["higher", "high", "usual", "low"]


async def test_ten_thousand_jobs_of_one_customer_delay_anothers_by_one_turn(
    queue: QueueDriver,
) -> None:
    await queue.submit_many(
        [submission(f"big-{number}", customer_id="big") for number in range(10_000)]
    )
    assert await order(queue, 3) == ["big-0", "big-1", "big-2"]
    await queue.submit("small", customer_id="small")
    assert "small" in await order(queue, 2)


async def test_customers_alternate(queue: QueueDriver) -> None:
    for number in range(6):
        await queue.submit(f"a-{number}", customer_id="a")
    for number in range(3):
        await queue.submit(f"b-{number}", customer_id="b")
    got = await order(queue)
    assert Counter(job[0] for job in got[:6]) == {"a": 3, "b": 3}
    assert got[6:] == ["a-3", "a-4", "a-5"]


async def test_customers_get_turns_by_their_weights(queue: QueueDriver) -> None:
    await queue.redis.hset(queue.keys.key("weights"), mapping={"heavy": "3", "half": "0.5"})
    for customer in ("heavy", "usual", "half"):
        await queue.submit_many(
            [submission(f"{customer}-{it}", customer_id=customer) for it in range(60)]
        )
    turns = Counter(job.split("-")[0] for job in await order(queue, 90))
    assert turns["heavy"] == pytest.approx(60, abs=2)
    assert turns["usual"] == pytest.approx(20, abs=2)
    assert turns["half"] == pytest.approx(10, abs=2)


async def test_weight_that_makes_no_sense_counts_as_one(queue: QueueDriver) -> None:
    for customer in ODD:
        await queue.redis.hset(queue.keys.key("weights"), customer, customer)
        await queue.submit_many(
            [
                submission(f"{customer}#{it}", "http://a.test/", customer_id=customer)
                for it in range(5)
            ]
        )
    turns = Counter(job.split("#")[0] for job in await order(queue, 3 * len(ODD)))
    assert turns == dict.fromkeys(ODD, 3)


async def test_large_crawl_and_single_pages_of_another_customer_take_turns(
    queue: QueueDriver,
) -> None:
    urls = [f"http://big.test/{number}" for number in range(200)]
    await queue.start_crawl("crawl", urls, customer_id="big", host_limit=32, max_pages=500)
    for number in range(20):
        await queue.submit(f"small-{number}", customer_id="small")
    pages = await queue.lease(pages=32, slots=32)
    by_customer = Counter(page.job_id.split("-")[0] for page in pages)
    assert by_customer["small"] >= 12
    assert by_customer["crawl"] >= 12


async def test_customer_that_pauses_gains_no_turns_by_it(queue: QueueDriver) -> None:
    await queue.submit_many([submission(f"a-{it}", customer_id="a") for it in range(40)])
    await order(queue, 20)
    await queue.submit_many([submission(f"b-{it}", customer_id="b") for it in range(20)])
    assert Counter(job[0] for job in await order(queue, 10)) == {"a": 5, "b": 5}
