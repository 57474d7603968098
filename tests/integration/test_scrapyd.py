"""scrapyd's API: a recorded exchange with scrapyd 1.6.0 replayed, its pages as ScrapydWeb reads."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from scraper.jobs.leases import PageOutcome
from tests.integration.conftest import QueuePlace
from tests.support.http_api import Api, Reply, http_server
from tests.support.queue_driver import QueueDriver

pytestmark = pytest.mark.anyio

RECORDED = orjson.loads((Path(__file__).parents[1] / "fixtures" / "scrapyd-1.6.json").read_bytes())
FORM = "application/x-www-form-urlencoded"
SECRET = "the-hooks-secret"
# As scrapydweb 1.6.0 has it in views/dashboard/jobs.py.
JOB_ROW = re.compile(
    r"<tr>\s*<td>(?P<Project>.*?)</td>\s*<td>(?P<Spider>.*?)</td>\s*<td>(?P<Job>.*?)</td>\s*"
    r"(?:<td>(?P<PID>.*?)</td>\s*)?(?:<td>(?P<Start>.*?)</td>\s*)?(?:<td>(?P<Runtime>.*?)</td>\s*)?"
    r"(?:<td>(?P<Finish>.*?)</td>\s*)?(?:<td>(?P<Log>.*?)</td>\s*)?(?:<td>(?P<Items>.*?)</td>\s*)?"
    r"[\w\W]*?</tr>"
)
# And in vars.py.
FOLDER_ROW = re.compile(
    r'<tr\sclass="(?:odd|even)">\n\s+<td>(?P<filename>.*?)</td>\n\s+<td>(?P<size>.*?)</td>\n'
    r"(?:\s+<td>(?P<modified>.*?)</td>\n)?\s+<td>(?P<type>.*?)</td>\n"
    r"\s+<td>(?P<coding>.*?)</td>\n</tr>"
)


@contextmanager
def scrapyd(where: QueuePlace, **env: str) -> Iterator[Api]:
    """A client of scrapyd's port, while the block runs."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        http_server(where.url, where.name, scrapyd=listener, **env),
    ):
        yield Api(listener.getsockname()[1])


@pytest.fixture(scope="module")
def api(where: QueuePlace) -> Iterator[Api]:
    with scrapyd(where) as served:
        yield served


def post(api: Api, path: str, form: str = "") -> Reply:
    return api.call("POST", path, body=form.encode(), Content_Type=FORM)


def kinds(value: Any) -> Any:
    """The shape of an answer: its names and the types behind them."""
    if isinstance(value, dict):
        return {name: kinds(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return sorted({repr(kinds(inner)) for inner in value})
    return type(value).__name__


async def test_recorded_exchange_is_answered_alike(api: Api, queue: QueueDriver) -> None:
    for step in RECORDED["steps"]:
        body = None if step["body"] is None else step["body"].encode()
        headers = {} if body is None else {"Content_Type": FORM}
        reply = api.call(step["method"], step["path"], body=body, **headers)
        what = f"{step['method']} {step['path']} {step['body']}: {reply.body[:300]!r}"
        assert reply.status == step["status"], what
        assert reply.headers.get("content-type", "").split(";")[0] == step["type"], what
        then = step["answer"]
        if then is None or "egg=" in (step["body"] or ""):
            continue
        now = reply.json
        assert list(now) == list(then), what
        if then["status"] == "error":
            assert now["message"] == then["message"], what
        elif "finished" not in then:
            assert kinds(now) == kinds(then), what
        if "prevstate" in then or "currstate" in then:
            assert {**now, "node_name": ""} == {**then, "node_name": ""}, what


async def crawled(queue: QueueDriver, api: Api) -> None:
    """One job finished with a page and an error, one running, one pending."""
    form = "project=scraper&spider=full-crawl&maxPages=2&url=http://one.test/&jobid=done"
    assert post(api, "/schedule.json", form).json["jobid"] == "done"
    await queue.end("w1", await queue.lease_one(), links=["http://one.test/<b>"], payload=PAGE)
    await queue.end("w1", await queue.lease_one(), PageOutcome.FAILED, payload=ERROR)
    post(api, "/schedule.json", "project=scraper&spider=single-page&url=http://two.test/&jobid=now")
    await queue.lease_one()
    post(api, "/schedule.json", "project=scraper&spider=single-page&url=http://c.test/&jobid=next")


PAGE = orjson.dumps(
    {"url": "http://one.test/", "status": 200, "fetchedAt": "2026-01-01T00:00:00.500Z"}
)
ERROR = orjson.dumps(
    {"url": "http://one.test/<b>", "code": "http_500", "message": "no\n2026-01-01 [x] CRITICAL: no",
     "status": 500, "attempt": 1, "at": "2026-01-01T00:00:01.000Z"}
)  # fmt: skip


async def test_lists_have_the_fields_of_scrapyd(api: Api, queue: QueueDriver) -> None:
    await crawled(queue, api)
    now, then = api.get("/listjobs.json").json, RECORDED["with_running"]
    for state in ("running", "finished"):
        [ours], [theirs, *_] = now[state], then[state]
        assert list(ours) == list(theirs)
        assert isinstance(ours.get("pid", 0), int)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", ours["start_time"])
    [pending] = now["pending"]
    assert pending["args"] == {"url": "http://c.test/"}
    assert now["finished"][0]["log_url"] == "/logs/scraper/full-crawl/done.log"
    counts = api.get("//daemonstatus.json").json
    assert (counts["pending"], counts["running"], counts["finished"]) == (1, 1, 1)


async def test_scrapydweb_finds_its_rows(api: Api, queue: QueueDriver) -> None:
    await crawled(queue, api)
    html = re.sub(r"<thead>.*?</thead>", "", api.get("/jobs").body.decode(), flags=re.S)
    assert "<h1>Jobs</h1>" in html
    rows = {row["Job"]: row.groupdict() for row in JOB_ROW.finditer(html)}
    assert rows.keys() == {"done", "now", "next"}
    assert rows["done"]["Finish"]
    assert rows["done"]["Log"] == '<a href="/logs/scraper/full-crawl/done.log">Log</a>'
    assert rows["now"]["Start"]
    assert not rows["now"]["Finish"]
    assert not rows["next"]["Start"]
    listing = api.get("/logs/scraper/full-crawl/").body.decode()
    found = list(FOLDER_ROW.finditer(listing))
    assert [row["filename"] for row in found] == ['<a href="done.log">done.log</a>']


async def test_log_is_one_that_logparser_reads(api: Api, queue: QueueDriver) -> None:
    await crawled(queue, api)
    log = api.get("/logs/scraper/full-crawl/done.log")
    assert (log.status, log.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    text = log.body.decode()
    assert "Crawled (200) <GET http://one.test/> (referer: None)" in text
    assert "ERROR: Error downloading <GET http://one.test/<b>> (attempt 1): http_500: no" in text
    assert "Crawled 1 pages (at 1 pages/min), scraped 1 items (at 1 items/min)" in text
    assert "'downloader/response_status_count/200': 1," in text
    assert "'finish_reason': 'finished'" in text
    assert text.rstrip().endswith("INFO: Spider closed (finished)")
    # What a site says makes no line of its own.
    assert not re.search(r"^2026-01-01 \[x\]", text, re.M)
    assert api.get("/items/scraper/full-crawl/done.jl").json["url"] == "http://one.test/"
    for path in ("/logs/scraper/single-page/done.log", "/logs/other/full-crawl/done.log",
                 "/logs/scraper/full-crawl/nope.log", "/logs/../etc/passwd"):  # fmt: skip
        assert api.get(path).status == 404, path


async def test_settings_and_arguments_become_fields_of_the_job(
    api: Api, queue: QueueDriver
) -> None:
    form = (
        "project=scraper&spider=full-crawl&url=http://a.test/&jobid=one&priority=2.0"
        '&setting=CLOSESPIDER_PAGECOUNT=7&setting=CLOSESPIDER_TIMEOUT=60&includePaths=["/blog/**"]'
    )
    assert post(api, "/schedule.json", form).json["status"] == "ok"
    [pending] = api.get("/listjobs.json").json["pending"]
    assert pending["args"] == {
        "url": "http://a.test/", "maxPages": "7", "maxDuration": "60000",
        "includePaths": '["/blog/**"]',
    }  # fmt: skip
    assert post(api, "/schedule.json", form).json["status"] == "ok"
    other = post(api, "/schedule.json", form.replace("a.test", "b.test")).json
    assert (other["status"], "another jobid" in other["message"]) == ("error", True)
    for wrong, said in (
        ("ulr=http://a.test/", "did you mean url?"),
        ("url=http://a.test/&setting=USER_AGENT=x", "USER_AGENT is not for one job"),
        ("url=http://a.test/&setting=DEPTH_LIMIT=x", "DEPTH_LIMIT is invalid"),
        ("url=http://a.test/&jobid=a:b", "jobId"),
        ("url=http://a.test/&priority=nan", "priority is invalid"),
    ):
        reply = post(api, "/schedule.json", f"project=scraper&spider=full-crawl&{wrong}")
        assert (reply.status, reply.json["status"]) == (200, "error")
        assert said in reply.json["message"]


async def test_secret_of_a_webhook_is_not_shown(api: Api, queue: QueueDriver) -> None:
    hook = orjson.dumps({"url": "https://r.test/", "secret": SECRET}).decode()
    form = f"project=scraper&spider=single-page&url=http://a.test/&jobid=one&webhook={hook}"
    assert post(api, "/schedule.json", form).json["status"] == "ok"
    for path in ("/listjobs.json", "/jobs", "/logs/scraper/single-page/one.log"):
        assert SECRET.encode() not in api.get(path).body


async def test_uploads_are_refused_in_scrapyds_form(api: Api, queue: QueueDriver) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="project"\r\n\r\nscraper\r\n'
        b'--x\r\nContent-Disposition: form-data; name="version"\r\n\r\n2\r\n'
        b'--x\r\nContent-Disposition: form-data; name="egg"; filename="e.egg"\r\n\r\nPK..\r\n'
        b"--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    reply = api.call("POST", "/addversion.json", body=body, Content_Type=kind)
    assert (reply.status, reply.json["status"]) == (200, "error")
    assert "takes no code" in reply.json["message"]


async def test_web_pages_of_others_are_kept_out(api: Api, queue: QueueDriver) -> None:
    form = b"project=scraper&spider=single-page&url=http://a.test/"
    foreign = api.call(
        "POST", "/schedule.json", body=form, Content_Type=FORM, Origin="https://evil.test"
    )
    assert (foreign.status, foreign.json["status"]) == (403, "error")
    assert api.get("/jobs", Host="evil.test").status == 403
    assert api.get("/listjobs.json").json["pending"] == []


def test_password_is_asked_for(where: QueuePlace) -> None:
    login = base64.b64encode(b"me:the-password").decode()
    env = {"SCRAPYD_USERNAME": "me", "SCRAPYD_PASSWORD": "the-password"}
    with scrapyd(where, **env) as api:
        assert api.get("/daemonstatus.json").status == 401
        assert api.get("/jobs", Authorization="Basic bm86bm8=").status == 401
        assert api.get("/daemonstatus.json", Authorization=f"Basic {login}").status == 200
