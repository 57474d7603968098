"""The HTTP API as clients see it: submits, lists, records, errors of one shape."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from scraper.jobs.leases import Filtered, PageOutcome
from tests.integration.conftest import QueuePlace
from tests.support.http_api import Api, http_server
from tests.support.queue_driver import QueueDriver, submission

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def api(where: QueuePlace) -> Iterator[Api]:
    with http_server(where.url, where.name) as served:
        yield served


JOB = {"type": "single-page", "url": "http://site.test/", "customerId": "acme"}


async def test_a_submitted_job_is_there_and_the_same_id_is_the_same_job(
    api: Api, queue: QueueDriver
) -> None:
    made = api.post("/jobs", {**JOB, "jobId": "one"})
    assert (made.status, made.json) == (201, {"jobId": "one", "isNew": True})
    assert made.headers["location"] == "/jobs/one"
    again = api.post("/jobs", {**JOB, "jobId": "one"})
    assert (again.status, again.json) == (200, {"jobId": "one", "isNew": False})
    job = api.get("/jobs/one").json
    assert (job["state"], job["url"], job["customerId"]) == ("waiting", JOB["url"], "acme")


async def test_a_list_is_accepted_as_a_whole_or_not_at_all(api: Api, queue: QueueDriver) -> None:
    bad = api.post("/jobs", [JOB, {**JOB, "maxPages": 0}, {"ulr": "x"}, 7])
    assert (bad.status, bad.code) == (422, "invalid_job")
    faults = {fault["field"]: fault["hint"] for fault in bad.json["error"]["fields"]}
    assert faults.keys() == {"1.maxPages", "2.url", "2.ulr", "3"}
    assert faults["2.ulr"] == "did you mean url?"
    assert api.get("/jobs").json["jobs"] == []
    good = api.post("/jobs", [JOB, JOB])
    assert good.status == 201
    assert len({job["jobId"] for job in good.json["jobs"]}) == 2


async def test_an_idempotency_key_makes_its_jobs_once(api: Api, queue: QueueDriver) -> None:
    first = api.post("/jobs", [JOB, JOB], Idempotency_Key="the-key")
    second = api.post("/jobs", [JOB, JOB], Idempotency_Key="the-key")
    assert (first.status, second.status) == (201, 200)
    ids = [[job["jobId"] for job in reply.json["jobs"]] for reply in (first, second)]
    assert ids[0] == ids[1]
    assert len(api.get("/jobs").json["jobs"]) == 2
    other = api.post("/jobs", [{**JOB, "priority": 3}], Idempotency_Key="the-key")
    assert (other.status, other.code) == (409, "key_reused")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", None, 415, "unsupported_media_type"),
        (b"{", "application/json", 422, "invalid_json"),
        (b"[" * 5000, "application/json", 422, "invalid_json"),
        (b"\xff", "application/json", 422, "invalid_json"),
        (b"[]", "application/json", 422, "wrong_count"),
        (b"7", "application/json", 422, "invalid_job"),
        (b" " * (8 * 1024 * 1024 + 1), "application/json", 413, "too_large"),
    ],
)
async def test_a_wrong_body_is_refused_with_what_to_do(
    api: Api, body: bytes, kind: str | None, status: int, code: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    reply = api.call("POST", "/jobs", body=body, **headers)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/jobs/", 404, "not_found"),
        ("GET", "/jobs/unknown", 404, "job_not_found"),
        ("GET", "/jobs/unknown/data", 404, "job_not_found"),
        ("POST", "/jobs/unknown/cancel", 404, "job_not_found"),
        ("DELETE", "/jobs/unknown", 404, "job_not_found"),
        ("GET", "/jobs/a:records", 422, "invalid_request"),
        ("GET", "/jobs?limit=0", 422, "invalid_request"),
        ("GET", "/jobs?stat=active", 422, "invalid_request"),
        ("GET", "/jobs?state=activ", 422, "invalid_request"),
        ("GET", "/jobs?cursor=%2B%2B", 422, "invalid_cursor"),
        ("GET", "/jobs?cursor=bm9uZQ", 422, "invalid_cursor"),
        ("GET", "/events?after=x", 422, "invalid_request"),
        ("GET", "/events?name=workerDone", 422, "unknown_event"),
        ("PATCH", "/jobs", 405, "method_not_allowed"),
        ("POST", "/workers/worker-1/restart", 409, "no_supervisor"),
    ],
)
async def test_every_error_has_one_shape(
    api: Api, queue: QueueDriver, method: str, path: str, status: int, code: str
) -> None:
    reply = api.call(method, path)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("GET", "/jobs?limit=x", None, "limit is 'x': it should be a valid integer"),
        ("GET", "/jobs?stat=active", None, "stat is no parameter of this: did you mean state?"),
        ("GET", "/jobs/%25x", None, "jobId is '%x': it should match pattern"),
        ("GET", "/jobs?state=activ", None, "state is 'activ': it should be 'waiting', 'delayed'"),
        ("PUT", "/workers/count", b'{"cont": 2}', "cont is no field of this: did you mean count?"),
        ("PUT", "/workers/count", b'{"count": 0}',
         "count is 0: it should be greater than or equal to 1, or it should be 'auto'"),
        ("PUT", "/workers/count", b"{}", "count is missing: give it"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_told_what_would_be_right(
    api: Api, queue: QueueDriver, method: str, path: str, body: bytes | None, message: str
) -> None:
    reply = api.call(method, path, body=body, Content_Type="application/json")
    assert reply.status == 422
    assert message in reply.json["error"]["message"]


async def test_a_body_of_another_type_is_told_the_right_one(api: Api, queue: QueueDriver) -> None:
    reply = api.call(
        "PUT", "/workers/count", body=b'{"count": 2}',
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_methods_are_named_and_head_has_no_body(api: Api, queue: QueueDriver) -> None:
    refused = api.call("PUT", "/jobs")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    asked = api.call("OPTIONS", "/jobs/one/cancel")
    assert (asked.status, asked.headers["allow"]) == (204, "OPTIONS, POST")
    head = api.call("HEAD", "/jobs")
    assert (head.status, head.body) == (200, b"")
    assert api.call("HEAD", "/events").status == 200


async def test_lists_go_on_by_cursor_and_miss_nothing(api: Api, queue: QueueDriver) -> None:
    jobs = [submission(f"j{n:03}", customer_id="acme" if n % 3 else "other") for n in range(250)]
    await queue.submit_many(jobs)
    for query, expected in (
        ("", {job.job_id for job in jobs}),
        ("&customer=acme", {job.job_id for job in jobs if job.customer_id == "acme"}),
        ("&customer=other&state=waiting", {f"j{n:03}" for n in range(0, 250, 3)}),
        ("&type=full-crawl", set()),
        ("&state=active", set()),
    ):
        found: list[str] = []
        cursor = ""
        while True:
            page = api.get(f"/jobs?limit=40{query}{cursor}").json
            found += [job["id"] for job in page["jobs"]]
            if page["nextCursor"] is None:
                break
            cursor = f"&cursor={page['nextCursor']}"
        assert len(found) == len(set(found))
        assert set(found) == expected


async def test_records_come_as_pages_as_lines_and_as_a_table(api: Api, queue: QueueDriver) -> None:
    links = [f"http://site.test/{n}" for n in range(30)]
    await queue.start_crawl("crawl", links, start_url="http://site.test/")
    for lease in await queue.lease(pages=100):
        await queue.end("w1", lease, payload=json.dumps({"url": lease.url, "title": "=1"}).encode())
    running = api.get("/jobs/crawl/data?limit=1000").json
    assert running["state"] == "active"
    assert running["nextCursor"] == str(len(running["data"])), "more may come"
    await queue.drain()
    found: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = api.get(f"/jobs/crawl/data?limit=10&cursor={cursor}").json
        found += [record["url"] for record in page["data"]]
        cursor = page["nextCursor"]
    assert sorted(found) == sorted(["http://site.test/", *links])
    lines = api.get("/jobs/crawl/data", Accept="application/x-ndjson")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["url"] for line in lines.body.splitlines()] == found
    table = api.get("/jobs/crawl/data", Accept="text/html;q=0.2, text/csv;q=0.9, */*;q=0.1")
    rows = list(csv.DictReader(io.StringIO(table.body.decode(), newline="")))
    assert [row["url"] for row in rows] == found
    assert {row["title"] for row in rows} == {"", "'=1"}, "no spreadsheet runs it"
    assert api.get("/jobs/crawl/data", Accept="image/png").code == "not_acceptable"
    assert api.get("/jobs/crawl/data?format=ndjson").body == lines.body


async def test_what_became_of_pages_and_links_can_be_asked(api: Api, queue: QueueDriver) -> None:
    await queue.submit("crawl", "http://site.test/", max_pages=100)
    start = await queue.lease_one()
    left_out = [Filtered("off_scope", 3, "http://else.test/")]
    await queue.end("w1", start, links=["http://site.test/a", "http://site.test/b"],
                    filtered=left_out)  # fmt: skip
    by_url = {lease.url: lease for lease in await queue.lease()}
    await queue.end("w1", by_url["http://site.test/a"], PageOutcome.FAILED, code="http_404")
    failed = api.get("/jobs/crawl/errors").json
    assert [(it["url"], it["code"]) for it in failed["errors"]] == [
        ("http://site.test/a", "http_404")
    ]
    assert (failed["total"], failed["nextCursor"]) == (1, None)
    pages = {page["url"]: page for page in api.get("/jobs/crawl/pages").json["pages"]}
    assert {url: page["state"] for url, page in pages.items()} == {
        "http://site.test/": "done", "http://site.test/a": "failed", "http://site.test/b": "leased",
    }  # fmt: skip
    assert pages["http://site.test/a"]["foundOn"] == "http://site.test/"
    some = api.get("/jobs/crawl/pages?state=leased&state=queued").json["pages"]
    assert [page["url"] for page in some] == ["http://site.test/b"]
    assert api.get("/jobs/crawl/filtered").json == {
        "counts": {"off_scope": 3},
        "sample": [{"reason": "off_scope", "url": "http://else.test/"}],
    }


async def test_a_job_is_acted_on(api: Api, queue: QueueDriver) -> None:
    api.post("/jobs", {**JOB, "jobId": "one"})
    assert api.get("/jobs/one/result").code == "job_state"
    assert api.get("/jobs/one/result?wait=0.1").code == "job_not_finished"
    assert api.call("DELETE", "/jobs/one").code == "job_state"
    assert api.post("/jobs/one/pause").json["state"] == "paused"
    assert api.post("/jobs/one/resume").json["state"] == "waiting"
    assert api.post("/jobs/one/cancel").json == {
        "jobId": "one", "stateBefore": "waiting", "state": "cancelled",
    }  # fmt: skip
    assert api.get("/jobs/one/result").json["status"] == "cancelled"
    assert api.post("/jobs/one/retry").json["state"] == "waiting"
    assert api.post("/jobs/one/retry").code == "job_state"
    assert api.post("/queue/pause").json == {"paused": True, "changed": True}
    assert api.post("/queue/pause").json == {"paused": True, "changed": False}
    assert api.post("/queue/resume").json == {"paused": False, "changed": True}
    api.post("/jobs/one/cancel")
    assert api.call("DELETE", "/jobs/one").status == 204
    assert api.get("/jobs/one").code == "job_not_found"


async def test_request_ids_are_kept_when_they_are_sane(api: Api) -> None:
    assert api.get("/jobs", X_Request_Id="abc-1").headers["x-request-id"] == "abc-1"
    given = api.get("/jobs", X_Request_Id="a b/").headers["x-request-id"]
    assert len(given) == 16


async def test_events_of_a_job_come_from_its_start_and_end_with_it(
    api: Api, queue: QueueDriver
) -> None:
    api.post("/jobs", {**JOB, "jobId": "one"})
    api.post("/jobs", {**JOB, "jobId": "two"})
    with api.stream("/jobs/one/events") as events:
        assert next(events).name == "jobWaiting"
        api.post("/jobs/two/cancel")
        api.post("/jobs/one/cancel")
        rest = list(events)
    assert [event.name for event in rest] == ["jobCancelled"]
    assert {event.data["jobId"] for event in rest} == {"one"}
    assert api.get("/jobs/one/events", Last_Event_ID=rest[-1].id).status == 204


async def test_a_client_that_comes_back_misses_nothing(api: Api, queue: QueueDriver) -> None:
    with api.stream("/events?after=0-0") as events:
        api.post("/jobs", {**JOB, "jobId": "one"})
        first = next(events)
    api.post("/jobs/one/cancel")
    with api.stream("/events", Last_Event_ID=first.id) as events:
        assert next(events).name == "jobCancelled"
    with api.stream("/events?name=workerCompleted&name=jobCancelled&after=0-0") as events:
        assert next(events).name == "jobCancelled"


@pytest.mark.parametrize("place", ["0-0.1", "1-0.999999"])
async def test_a_place_that_nobody_was_given_is_no_trouble(
    api: Api, queue: QueueDriver, place: str
) -> None:
    await queue.start_crawl("crawl", [f"http://site.test/{n}" for n in range(3)])
    with api.stream(f"/events?after={place}&follow=false") as events:
        assert "jobWaiting" in {event.name for event in events}


async def test_trimmed_events_are_told_as_a_gap(api: Api, queue: QueueDriver) -> None:
    for number in range(20):
        await queue.submit(f"j{number}")
    stream = queue.keys.key("events")
    entries = [entry.decode() for entry, _ in await queue.redis.xrange(stream)]
    await queue.redis.xtrim(stream, minid=entries[10], approximate=False)
    with api.stream("/events", Last_Event_ID=entries[3]) as events:
        gap = next(events)
        assert (gap.name, gap.data["after"]) == ("gap", entries[3])
        assert [next(events).id for _ in range(10)] == entries[10:]
    with api.stream("/events", Last_Event_ID=entries[10]) as events:
        assert next(events).id == entries[11], "nothing was missed"


async def test_metrics_tell_of_a_crawl(api: Api, queue: QueueDriver) -> None:
    links = [f"http://site.test/{n}" for n in range(30)]
    await queue.start_crawl("crawl", links, start_url="http://site.test/", host_limit=4)
    await queue.submit("one")
    text = api.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    told = dict(
        line.rsplit(" ", 1) for line in text.body.decode().splitlines() if not line.startswith("#")
    )
    labels = next(iter(told)).partition("{")[2]
    assert told[f"scraper_backlog_pages{{{labels}"] == "5.0", "four of a host, and the single page"
    await queue.drain()
    later = api.get("/metrics").body.decode()
    assert f"scraper_backlog_pages{{{labels} 0.0" in later
    assert f"scraper_job_seconds_count{{{labels} 2.0" in later


async def test_hosts_tell_why_pages_wait(api: Api, queue: QueueDriver) -> None:
    links = [f"http://site.test/{n}" for n in range(9)]
    await queue.start_crawl("crawl", links, start_url="http://site.test/", host_limit=4)
    held = await queue.lease()
    assert len(held) == 4
    [host] = api.get("/jobs/crawl/hosts").json["hosts"]
    assert (host["host"], host["inFlight"], host["isWaitedFor"]) == ("site.test", 4, True)
    await queue.end("w1", held[0], PageOutcome.RETRY, retry_delay_ms=1, host_pause_ms=60_000)
    [host] = api.get("/hosts").json["hosts"]
    assert host["pausedUntil"] > api.get("/jobs/crawl").json["startedAt"]


async def test_host_of_a_last_page_in_flight_is_listed_until_it_ends(
    api: Api, queue: QueueDriver
) -> None:
    await queue.submit("one")
    lease = await queue.lease_one()
    assert [host["inFlight"] for host in api.get("/hosts").json["hosts"]] == [1]
    await queue.end("w1", lease)
    assert api.get("/hosts").json["hosts"] == api.get("/jobs/one/hosts").json["hosts"] == []


async def test_history_is_there_even_when_it_is_empty(api: Api, queue: QueueDriver) -> None:
    assert api.get("/history?minutes=5").json == {"points": []}
