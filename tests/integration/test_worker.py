"""Workers as real processes against real servers: what they fetch, record and give back."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, queue_reader
from tests.support.processes import run, running, wait_until
from tests.support.site import Answer, Site, html, serve, tree

queue = queue_reader


def feed(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def crawl_once(
    place: QueuePlace, url: str, tmp_path: Path, job_type: str = "full-crawl", **fields: object
) -> tuple[list[dict[str, Any]], int]:
    """`scrapy crawl` of one job: its feed and its exit code."""
    out = tmp_path / "out.jsonl"
    arguments = [f"-a{name}={value}" for name, value in {"url": url, **fields}.items()]
    done = run("scrapy", "crawl", job_type, *arguments, "-O", str(out), env=place.env())
    assert "Traceback" not in done.stderr, done.stderr
    return feed(out) if out.exists() else [], done.returncode


def test_a_one_shot_crawl_feeds_each_page_once(place: QueuePlace, tmp_path: Path) -> None:
    with serve(default=tree(120)) as site:
        pages, code = crawl_once(place, f"{site.url}/0", tmp_path)
    assert code == 0
    assert sorted(page["url"] for page in pages) == sorted(f"{site.url}/{n}" for n in range(120))
    assert max(site.hits.values()) == 1
    assert pages[0]["depth"] == 0
    assert {page["foundOn"] for page in pages if page["depth"] == 1} == {f"{site.url}/0"}


def test_a_one_shot_job_that_fails_exits_with_1(place: QueuePlace, tmp_path: Path) -> None:
    with serve() as site:
        pages, code = crawl_once(place, f"{site.url}/none", tmp_path, "single-page", attempts=1)
    assert (pages, code) == ([], 1)


def test_a_one_shot_with_a_bad_argument_says_so_and_exits_with_2(place: QueuePlace) -> None:
    done = run("scrapy", "crawl", "full-crawl", "-aurl=http://127.0.0.1:1/", "-amaxPagse=5",
               env=place.env())  # fmt: skip
    assert done.returncode == 2
    assert "maxPages" in done.stderr
    assert "Traceback" not in done.stderr


def outcomes_site(attempts: dict[str, int]) -> Site:
    """Pages of every outcome, linked from /."""

    def flaky(path: str) -> Answer:
        attempts[path] = attempts.get(path, 0) + 1
        return html("/", title="at last") if attempts[path] > 1 else Answer(status=503)

    pages: dict[str, Any] = {
        "/": html(
            "/ok", "/moved", "/again", "/away", "/loop", "/404", "/500", "/flaky", "/text", "/bin",
            "/notype", "/empty", "/to-bytes", "/to-no-url", "/to-mail", "/to-ftp",
            "/ok#part", "mailto:a@b.c", "javascript:x()", "/%7Eok",
            "http://127.0.0.1:9/elsewhere",
        ),
        "/ok": html("/"),
        "/moved": Answer(status=301, headers={"Location": "/target"}),
        "/again": Answer(status=302, headers={"Location": "/ok"}),
        "/away": Answer(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        "/loop": Answer(status=302, headers={"Location": "/loop"}),
        "/to-bytes": Answer(status=307, headers={"Location": "/caf\u00c3\u00a9 au lait"}),
        "/to-no-url": Answer(status=302, headers={"Location": "http://[bad/"}),
        "/to-mail": Answer(status=302, headers={"Location": "mailto:me@site.example"}),
        "/to-ftp": Answer(status=308, headers={"Location": "ftp://site.example/"}),
        "/target": html("/", title="target"),
        "/caf%C3%A9%20au%20lait": html("/"),
        "/500": Answer(status=500),
        "/flaky": flaky,
        "/text": Answer(b"plain <a href=/no>no</a>", content_type="text/plain"),
        "/bin": Answer(bytes(range(256)), content_type="application/octet-stream"),
        "/notype": Answer(html("/ok", title="sniffed").body, content_type=None),
        "/empty": Answer(b""),
        "/~ok": html("/"),
    }  # fmt: skip
    return Site(pages, None)


def test_each_outcome_is_what_the_table_says(place: QueuePlace, queue: QueueReader) -> None:
    table = outcomes_site({})
    with serve(table.pages) as site, running("scrapy", "work", env=place.env(PAGE_BACKOFF="10")):
        queue.push({"type": "full-crawl", "url": site.url, "jobId": "table"})
        wait_until(lambda: queue.state("table") == "completed", 40, "the job completes")
    recorded = {url.removeprefix(site.url) for url in queue.recorded("table")}
    assert recorded == {
        "/", "/ok", "/target", "/flaky", "/text", "/bin", "/notype", "/empty", "/~ok",
        "/caf%C3%A9%20au%20lait",
    }  # fmt: skip
    errors = {
        url.removeprefix(site.url): error["code"] for url, error in queue.errors("table").items()
    }
    assert errors == {
        "/404": "http_404", "/500": "http_500", "/loop": "too_many_redirects",
        "/to-no-url": "bad_redirect", "/to-mail": "bad_redirect", "/to-ftp": "bad_redirect",
    }  # fmt: skip
    counts = queue.counts("table")
    assert counts["skipped"] == 2  # /again leads to what is recorded, /away out of the scope
    assert counts["known"] == counts["done"] + counts["failed"] + counts["skipped"]
    assert site.hits["/500"] == 3
    assert site.hits["/404"] == 1
    assert site.hits["/no"] == 0


def test_max_pages_is_exact_with_four_workers(place: QueuePlace, queue: QueueReader) -> None:
    with running("scrapy", "work", env=place.env(), count=4):
        wait_until(lambda: len(queue.workers()) == 4, what="all are up")
        for limit in (1, 7, 50):
            job = {"type": "full-crawl", "jobId": f"max-{limit}", "maxPages": limit}
            with serve(default=tree(5000)) as site:
                queue.push({**job, "url": f"{site.url}/0", "turboMode": True})
                wait_until(
                    lambda: queue.state(f"max-{limit}") == "completed", 40, "the job completes"
                )
                recorded = queue.recorded(f"max-{limit}")
                assert len(recorded) == len(set(recorded)) == limit
                assert site.hits.total() <= limit


def test_a_cancelled_job_is_not_fetched_any_more_within_a_second(
    place: QueuePlace, queue: QueueReader
) -> None:
    with (
        serve(default=tree(5000, delay_s=0.05)) as site,
        running("scrapy", "work", env=place.env()),
    ):
        queue.push({"type": "full-crawl", "url": f"{site.url}/0", "jobId": "stop"})
        wait_until(lambda: site.hits.total() > 20, what="the crawl runs")
        done = run("supervisor", "cancel", "stop", env=place.env())
        assert done.returncode == 0, done.stderr
        cancelled_s = time.monotonic()
        time.sleep(2.0)
        late = [path for at, path in site.times if at > cancelled_s + 1.0]
    assert queue.state("stop") == "cancelled"
    assert late == []


def test_a_terminated_worker_finishes_its_pages_and_hands_the_rest_back(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=tree(300, delay_s=0.05)) as site:
        with running("scrapy", "work", env=place.env()) as [worker]:
            queue.push({"type": "full-crawl", "url": f"{site.url}/0", "jobId": "d"})
            wait_until(lambda: site.hits.total() > 20, what="the crawl runs")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
        counts = queue.counts("d")
        assert counts["leased"] == 0
        assert counts["done"] == site.hits.total()
        with running("scrapy", "work", env=place.env()):
            wait_until(lambda: queue.state("d") == "completed", 40, "another worker ends the job")
    assert max(site.hits.values()) == 1


def test_jobs_end_at_their_max_duration_with_what_they_have(
    place: QueuePlace, queue: QueueReader
) -> None:
    job = {"type": "full-crawl", "jobId": "long", "maxDuration": 1500}
    with serve(default=tree(5000, delay_s=0.1)) as site, running("scrapy", "work", env=place.env()):
        queue.push({**job, "url": f"{site.url}/0"})
        wait_until(lambda: queue.state("long") == "failed", 60, "the time is over")
    assert queue.fields("long", "finish_reason") == ["timeout"]
    assert 0 < len(queue.recorded("long")) < 5000


def test_jobs_of_two_types_run_in_one_worker(place: QueuePlace, queue: QueueReader) -> None:
    with serve(default=tree(30)) as site, running("scrapy", "work", env=place.env()):
        queue.push(f"{site.url}/7", {"type": "full-crawl", "url": f"{site.url}/0"})
        wait_until(lambda: len(queue.jobs("completed")) == 2, what="both complete")
        lengths = sorted(len(queue.recorded(job)) for job in queue.jobs("completed"))
    assert lengths == [1, 30]


def test_a_worker_of_one_type_leaves_the_other_types_alone(
    place: QueuePlace, queue: QueueReader
) -> None:
    with (
        serve(default=tree(30)) as site,
        running("scrapy", "crawl", "single-page", env=place.env()),
    ):
        queue.push({"type": "full-crawl", "url": f"{site.url}/0", "jobId": "other"})
        queue.push(f"{site.url}/7")
        wait_until(lambda: len(queue.jobs("completed")) == 1, what="the single page completes")
        assert queue.state("other") == "waiting"


def test_a_hostile_retry_after_ends_the_page_and_not_the_worker(
    place: QueuePlace, queue: QueueReader
) -> None:
    pages = {
        "/": html("/a", "/b", "/c", "/d"),
        "/a": Answer(status=503, headers={"Retry-After": "\u00b2"}),
        "/b": Answer(status=404, headers={"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}),
        "/c": Answer(status=404, headers={"Retry-After": "9" * 400}),
        "/d": html("/"),
    }
    with serve(pages) as site, running("scrapy", "work", env=place.env(PAGE_ATTEMPTS="1")):
        queue.push({"type": "full-crawl", "url": site.url, "jobId": "after"})
        wait_until(lambda: queue.state("after") == "completed", 60, "the job completes")
    assert len(queue.recorded("after")) == 2
    assert len(queue.errors("after")) == 3


def test_a_job_that_no_worker_can_read_fails_alone(place: QueuePlace, queue: QueueReader) -> None:
    with serve(default=tree(30)) as site, running("scrapy", "work", env=place.env()):
        queue.redis.hset(f"{queue.prefix}meta", "paused", "1")
        queue.push({"url": site.url, "jobId": "odd", "attempts": 1})
        wait_until(lambda: queue.state("odd") == "waiting")
        queue.redis.hset(f"{queue.prefix}job:odd", "spec", '{"v":99}')
        queue.redis.hdel(f"{queue.prefix}meta", "paused")
        wait_until(lambda: queue.state("odd") == "failed", what="the odd job fails")
        queue.push({"type": "full-crawl", "url": f"{site.url}/0", "jobId": "even"})
        wait_until(lambda: queue.state("even") == "completed", 60, "the other job completes")


def test_a_job_under_an_id_that_was_used_before_is_crawled_anew(
    place: QueuePlace, queue: QueueReader
) -> None:
    job = {"type": "full-crawl", "jobId": "nightly"}
    with serve(default=tree(30)) as site, running("scrapy", "work", env=place.env()):
        for _ in range(2):
            queue.push({**job, "url": f"{site.url}/0"})
            wait_until(lambda: queue.state("nightly") == "completed", 60, "the job completes")
            assert len(queue.recorded("nightly")) == 30
            assert run("supervisor", "remove", "nightly", env=place.env()).returncode == 0


def test_a_one_shot_does_not_touch_a_job_of_the_service(
    place: QueuePlace, queue: QueueReader, tmp_path: Path
) -> None:
    with serve(default=tree(3)) as site, running("scrapy", "work", env=place.env()):
        queue.push({"url": f"{site.url}/1", "jobId": "theirs", "delay": 60_000})
        wait_until(lambda: queue.state("theirs") == "delayed")
        _, code = crawl_once(place, f"{site.url}/1", tmp_path, jobId="theirs")
        assert code == 2
        assert queue.state("theirs") == "delayed"
