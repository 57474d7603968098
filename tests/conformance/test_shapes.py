"""Links of kinds that may have no end: a job takes a bounded number, and counts the others."""

from __future__ import annotations

import pytest

from scraper.jobs.leases import ChargedLink, PageOutcome
from scraper.jobs.reading import Reader
from tests.support.queue_driver import QueueDriver
from tests.support.queue_snapshot import QueueProbe

pytestmark = [pytest.mark.anyio, pytest.mark.every_server]

A = "http://a.test/"


def charged(*paths: str, shape: str = "cal", limit: int = 3, extra: str = "") -> list[ChargedLink]:
    return [ChargedLink(A + path, 1, "trap_calendar", shape, limit, extra) for path in paths]


async def test_pages_of_a_shape_are_bounded_over_commits_and_counted_by_reason(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=100)
    start = await queue.lease_one()
    await queue.end("w1", start, links=[f"{A}plain"], charged=charged("c1", "c2"))
    first, second, *_ = await queue.lease()
    more = charged("c1", "c3", "c4", "c5")
    assert await queue.end("w1", first, charged=more) == "ok"
    assert (
        await queue.end("w1", second, charged=[*charged("c6"), *charged("d1", shape="d")]) == "ok"
    )
    found = probe.snapshot()
    pages = set(found.jobs["crawl"].pages)
    assert pages == {A, *(A + path for path in ("plain", "c1", "c2", "c3", "d1"))}
    assert found.get("job:crawl:filtered") == {"trap_calendar": "3"}
    assert found.get("job:crawl:shapes") == {"cal": "3", "d": "1"}
    sample = found.get("job:crawl:filtered_sample")
    assert set(sample) == {f"trap_calendar {A}c{n}" for n in (4, 5, 6)}


async def test_a_repeated_or_stale_commit_charges_nothing(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=100)
    start = await queue.lease_one()
    assert await queue.end("w1", start, charged=charged("c1")) == "ok"
    assert await queue.end("w1", start, charged=charged("c1", "c2")) == "lost"
    assert probe.snapshot().get("job:crawl:shapes") == {"cal": "1"}


async def test_a_charged_link_keeps_its_extra_and_its_lower_depth(queue: QueueDriver) -> None:
    await queue.submit("crawl", A, max_pages=100)
    start = await queue.lease_one()
    far = ChargedLink(f"{A}c1", 5, "trap_query", "cal", 9, '{"meta":{"a b":1}}')
    await queue.end("w1", start, links=[f"{A}plain"], charged=[far])
    plain = await queue.lease_one()
    await queue.end("w1", plain, charged=charged("c1"))
    page = await queue.lease_one()
    assert (page.url, page.depth, page.extra) == (f"{A}c1", 1, '{"meta":{"a b":1}}')


async def test_pages_of_a_sitemap_name_it_and_it_uses_no_budget(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.submit("crawl", A, max_pages=3)
    start = await queue.lease_one()
    await queue.end("w1", start, charged=charged("one.xml", "two.xml", extra="{}"))
    one, two = await queue.lease()
    for sitemap in (one, two):
        skipped = queue.end(
            "w1", sitemap, PageOutcome.SKIPPED, code="sitemap", links=[f"{sitemap.url}/page"]
        )
        assert await skipped == "ok"
    pages = await queue.lease()
    assert {page.url: (page.found_on, page.depth) for page in pages} == {
        f"{A}{name}/page": (A + name, 2) for name in ("one.xml", "two.xml")
    }
    assert (one.found_on, two.found_on) == (A, A)
    job = probe.snapshot().jobs["crawl"]
    assert (job.number("skipped"), job.number("done"), job.number("fetches")) == (2, 1, 3)
    stored = await Reader(queue.redis, queue.keys.queue).page("crawl", pages[0].url)
    assert stored is not None
    assert stored.found_on == pages[0].found_on
