"""Workers that are held, stopped or killed by a page: told apart from outside, and replaced."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from scraper.jobs.views import JobResult
from supervisor import ScraperWorkerService
from tests.chaos.scale import by_scale
from tests.integration.conftest import QueuePlace
from tests.support.evil_answers import CRASHES_DECODER, CRASHES_PARSER
from tests.support.evil_spiders import COMMAND
from tests.support.figures import none_of, tell, times
from tests.support.services import Record, pids, run, service_on, until
from tests.support.site import Answer, html, serve, tree

# In full as they are by default, in short a tenth of it.
LIMITS = by_scale(
    {"parse_limit_s": 2.0, "stall_timeout_s": 3.0, "lease_ms": 8000},
    {"parse_limit_s": 20.0, "stall_timeout_s": 30.0, "lease_ms": 60_000},
)
HOLD_S, HOLDS = by_scale((1.5, 3), (15.0, 5))
ROUNDS = by_scale(1, 5)
WITHIN_S = by_scale(120, 600)
CRASH = "killed by SIGSEGV (native code crashed)"

pytestmark = pytest.mark.timeout(WITHIN_S + 60)


@pytest.fixture(autouse=True)
def _evil_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.process.WORKER_COMMAND", COMMAND)


def site_with(*evil: str, innocents: int = 30) -> Callable[[str], Answer]:
    """A start page that links to these pages and to innocent ones."""

    def answer(path: str) -> Answer:
        if path == "/":
            return html(*evil, *(f"/{number}" for number in range(innocents)))
        return html(title=path)

    return answer


async def crawl(service: ScraperWorkerService, url: str) -> JobResult:
    job = await service.queue.add_job(
        {"type": "full-crawl", "url": f"{url}/", "turboMode": True, "attempts": 1}
    )
    return await job.result(timeout=WITHIN_S)


def failures(result: JobResult) -> dict[str, str]:
    return {error["url"].partition("/evil/")[2]: error["code"] for error in result.errors}


def test_pages_that_hold_their_worker_for_a_while_are_left_alone(place: QueuePlace) -> None:
    """Together they hold it for longer than the stall time-out: while one is handled, the others'
    answers come, and then their callbacks are called one after another."""

    async def scenario(url: str) -> None:
        service = service_on(place, **LIMITS)
        record = Record(service)
        async with service:
            result = await crawl(service, url)
        assert (result.status, result.pages_scraped) == ("completed", 31 + HOLDS)
        assert result.errors == []
        assert not record.by_name["workerStalled"]
        assert not record.by_name["workerError"]
        tell(f"pages that hold their worker for {HOLD_S:g} s", none_of(HOLDS, "false alarms"))

    all_asked = threading.Barrier(HOLDS)

    def held(path: str) -> Answer:
        all_asked.wait(WITHIN_S)
        page = html(title=path)
        # The first one holds the worker when the others come.
        page.delay_s = 0.0 if path.endswith("/0") else 0.5
        return page

    evil = [f"/evil/hold/{HOLD_S}/{number}" for number in range(HOLDS)]
    with serve(dict.fromkeys(evil, held), default=site_with(*evil)) as site:
        run(scenario(site.url))


def test_the_leases_of_a_held_worker_outlast_its_page(place: QueuePlace) -> None:
    """The lease is shorter than the hold here: only the supervisor can have extended it."""

    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(
            place, worker_count=2, parse_limit_s=6.0, stall_timeout_s=6.5, lease_ms=7000,
            page_concurrency=4,
        )  # fmt: skip
        async with service:
            job = await service.queue.add_job({"type": "single-page", "url": f"{url}/evil/hold/4"})
            redis, keys = service.queue.redis, service.queue.transitions.keys
            lasts_ms: list[float] = []
            while await service.queue.reader.state(job.id) != "completed":
                at = await service.queue.reader.workers()
                now = await redis.time()
                lasts_ms += [end - (now[0] * 1000 + now[1] / 1000) for end in at.values()]
            assert keys
            assert min(lasts_ms) > 4500
        assert hits() == 1

    with serve(default=site_with()) as site:
        run(scenario(site.url, site.hits.total))


def test_pages_that_never_end_are_quarantined_and_the_others_complete(
    place: QueuePlace, capfd: pytest.CaptureFixture[str]
) -> None:
    deeds = ("native", "obstinate")

    async def scenario(url: str) -> None:
        service = service_on(place, worker_count=2, **LIMITS)
        record = Record(service)
        async with service:
            result = await crawl(service, url)
            health = await service.get_health_status()
        assert (result.status, result.pages_scraped) == ("completed", 32)
        assert failures(result) == {f"{deed}/x": "quarantined" for deed in deeds}
        for error in result.errors:
            assert [death["alone"] for death in error["deaths"]] == [False, True, True, True]
            assert all("its event loop has not run" in death["exit"] for death in error["deaths"])
        stalls = record.by_name["workerStalled"]
        assert Counter(event.url for event in stalls) == {
            f"{url}/evil/{deed}/x": 4 for deed in deeds
        }
        assert {event.job_ids for event in stalls} == {(result.job_id,)}
        assert min(event.memory for event in stalls) > 10 * 2**20
        assert any("stuck" in (worker.last_exit or "") for worker in health.workers)
        with capfd.disabled():
            tell(
                f"{len(deeds)} pages that never end", f"{len(stalls)} times workerStalled",
                none_of(32, "other pages quarantined or lost"),
            )  # fmt: skip

    evil = [f"/evil/{deed}/x" for deed in deeds]
    with serve(default=site_with(*evil, f"/evil/hold/{HOLD_S / 2}")) as site:
        run(scenario(site.url))
    # The stacks of the stuck workers are in the log.
    stacks = capfd.readouterr().err
    assert all(stacks.count(f"in {deed}\n") >= 4 for deed in deeds)


def test_an_endless_page_that_hears_signals_is_ended_by_the_parse_limit(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        service = service_on(place, **LIMITS)
        record = Record(service)
        async with service:
            result = await crawl(service, url)
        assert (result.status, result.pages_scraped) == ("completed", 31)
        assert failures(result) == {"endless/x": "parse_limit", "regex/x": "parse_limit"}
        assert not record.by_name["workerError"]

    with serve(default=site_with("/evil/endless/x", "/evil/regex/x")) as site:
        run(scenario(site.url))


def test_pages_that_kill_their_workers_are_quarantined_and_innocents_are_not(
    place: QueuePlace,
) -> None:
    ends = by_scale(
        {"exit/7": "failed with exit code 7"},
        {"exit/7": "failed with exit code 7", "segfault/x": CRASH},
    )

    async def scenario(url: str) -> None:
        service = service_on(place, worker_count=2)
        record = Record(service)
        async with service:
            result = await crawl(service, url)
            sentence = await explain(service, result.job_id, f"{url}/evil/exit/7")
        assert (result.status, result.pages_scraped) == ("completed", 31)
        assert failures(result) == dict.fromkeys(ends, "quarantined")
        exits = [event.error.split(";")[0] for event in record.by_name["workerError"]]
        assert sorted(exits) == [end for end in ends.values() for _ in range(4)]
        tell(f"{len(ends)} pages that end their worker", none_of(31, "innocent pages quarantined"))
        assert "only page that was handled at 3 of these deaths" in sentence

    async def explain(service: ScraperWorkerService, job_id: str, url: str) -> str:
        from supervisor.explain import explain_url

        return (await explain_url(service.queue, job_id, url)).sentence

    with serve(default=site_with(*(f"/evil/{deed}" for deed in ends))) as site:
        run(scenario(site.url))


def test_pages_that_kill_their_worker_before_their_callback_are_quarantined_and_wait_for_nobody(
    place: QueuePlace,
) -> None:
    """They crash where an answer is parsed and decoded. Beside them is a page whose server does not
    answer before they are quarantined: a suspect that waited for that would wait for ever."""
    are_over = threading.Event()
    evil = by_scale(
        {"/decoder": CRASHES_DECODER}, {"/decoder": CRASHES_DECODER, "/parser": CRASHES_PARSER}
    )

    def slow(path: str) -> Answer:
        return html(title=path) if are_over.wait(2 * WITHIN_S) else Answer(status=404)

    async def scenario(url: str) -> None:
        service = service_on(place, request_timeout_s=2.0 * WITHIN_S)
        record = Record(service)
        committed = record.by_name["pageCommitted"]
        async with service:
            crawling = asyncio.create_task(crawl(service, url))
            await until(
                lambda: sum(it.code == "quarantined" for it in committed) == len(evil), WITHIN_S,
                "they are quarantined",
            )  # fmt: skip
            are_over.set()
            result = await crawling
        assert (result.status, result.pages_scraped) == ("completed", 32)
        assert {error["url"].removeprefix(url) for error in result.errors} == set(evil)
        for error in result.errors:
            assert [death["alone"] for death in error["deaths"]] == [False, True, True, True]
        exits = [event.error.split(";")[0] for event in record.by_name["workerError"]]
        assert exits == [CRASH] * 4 * len(evil)
        tell(
            f"{len(evil)} answers that crash their worker",
            none_of(32, "innocent pages quarantined"),
        )

    with serve({**evil, "/slow": slow}, default=site_with("/slow", *evil)) as site:
        run(scenario(site.url))


def test_a_stopped_worker_is_replaced_and_nobody_is_suspected(place: QueuePlace) -> None:
    async def scenario(url: str, hits: Callable[[], int]) -> None:
        service = service_on(place, worker_count=2, **LIMITS)
        record = Record(service)
        noticed_s: list[float] = []
        async with service:
            for number in range(ROUNDS):
                await until(
                    lambda: len(record.by_name["workerReady"]) == 2 + number,
                    what="both are ready",
                )  # fmt: skip
                noticed_s.append(await stop_one_of(service, record, url, hits))
        tell(
            f"workers stopped by SIGSTOP, stall time-out {LIMITS['stall_timeout_s']:g} s",
            f"noticed after {times(noticed_s)}",
            none_of(300 * ROUNDS, "pages lost or suspected"),
        )  # fmt: skip

    with serve(default=tree(300, delay_s=0.1)) as site:
        run(scenario(site.url, site.hits.total))


async def stop_one_of(
    service: ScraperWorkerService, record: Record, url: str, hits: Callable[[], int]
) -> float:
    """Stop a worker in the midst of a crawl; how long until that was noticed, in seconds."""
    stalls, before = record.by_name["workerStalled"], hits()
    told = len(stalls)
    job = await service.queue.add_job(
        {"type": "full-crawl", "url": f"{url}/0", "jobId": f"crawl-{told}"}
    )
    await until(lambda: hits() > before + 30, what="the crawl runs")
    victim, pid = min(pids(service).items())
    psutil.Process(pid).send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    await until(lambda: len(stalls) > told, WITHIN_S, "it is noticed")
    took_s = time.monotonic() - stopped_s
    await until(lambda: pids(service).get(victim, pid) != pid, what="it is replaced")
    result = await job.result(timeout=WITHIN_S)
    assert (result.status, result.pages_scraped, result.errors) == ("completed", 300, [])
    suspects = await service.queue.redis.keys("*:suspects")
    assert not [key for key in suspects if job.id.encode() in key]
    assert stalls[told].worker_id == victim
    assert "SIGSTOP" in stalls[told].reason
    return took_s


def test_a_worker_that_keeps_a_page_of_an_ended_job_is_replaced(place: QueuePlace) -> None:
    async def scenario(url: str) -> None:
        service = service_on(place, overdue_grace_s=1.0, drain_timeout_s=1.0)
        record = Record(service)
        async with service:
            for number in range(1, ROUNDS + 1):
                job = await service.queue.add_job(
                    {"type": "full-crawl", "url": f"{url}/then-for-ever", "maxDuration": 2000}
                )
                result = await job.result(timeout=WITHIN_S)
                assert (result.status, result.metadata["finishReason"]) == ("failed", "timeout")
                assert result.pages_scraped == 1
                await until(
                    lambda: len(record.by_name["workerClosed"]) == number,
                    what="it is replaced",
                )  # fmt: skip
                after = await service.queue.add_job({"type": "single-page", "url": f"{url}/1"})
                assert (await after.result(timeout=WITHIN_S)).status == "completed"
        recycled = record.by_name["workerRecycled"]
        assert len(recycled) == ROUNDS
        assert all("a job that has ended" in event.reason for event in recycled)
        assert not record.by_name["workerError"]
        tell("workers that kept a page of an ended job", none_of(ROUNDS, "were not replaced"))

    with serve(default=lambda path: html(title=path)) as site:
        run(scenario(site.url))
