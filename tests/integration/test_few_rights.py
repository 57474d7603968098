"""A whole service as it is run in production: over TLS with client certificates, and on a cluster,
by a user who may do what deploy/redis/users.acl grants and no more."""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.chaos.fleet import Fleet, fleet
from tests.chaos.queue_reader import QueueReader
from tests.support.http_api import OPERATOR, Api
from tests.support.processes import environment, run, wait_until
from tests.support.redis_server import free_port
from tests.support.server_kinds import KINDS, ServerAccess
from tests.support.site import Site, serve, tree

QUEUE = "scrape-queue"
PAGES = 120
_SETTINGS = {
    "ssl_ca_certs": "REDIS_CA_FILE",
    "ssl_certfile": "REDIS_CERT_FILE",
    "ssl_keyfile": "REDIS_KEY_FILE",
}


def settings_of(url: str) -> dict[str, str]:
    """The certificates as settings of their own, as docs/redis.md names them."""
    parts = urlsplit(url)
    files = {_SETTINGS[name]: path for name, path in parse_qsl(parts.query)}
    return {"REDIS_URL": parts._replace(query="").geturl(), **files}


@pytest.fixture(params=["redis7-tls-acl", "cluster-acl"])
def access(request: pytest.FixtureRequest) -> Iterator[ServerAccess]:
    # At its end it looks into the server's log of what was denied.
    with KINDS[request.param](QUEUE) as access:
        yield access


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(default=tree(PAGES, delay_s=0.05)) as site:
        yield site


@pytest.mark.timeout(180)
def test_a_service_with_few_rights_can_do_all_that_it_does(
    access: ServerAccess, site: Site
) -> None:
    port = free_port()
    env = environment(None, **settings_of(access.url), QUEUE_NAME=QUEUE, API_TOKEN=OPERATOR)
    env["HTTP_PORT"] = str(port)
    api = Api(port, OPERATOR)
    queue = QueueReader(access.admin_url, QUEUE)
    with fleet(env) as service:
        wait_until(lambda: len(queue.workers()) == 2, 60, "both lease")
        submit_by_all_doors(queue, api, site)
        wait_until(lambda: queue.has_done("crawl", PAGES / 3), 60, "the crawl goes on")
        service.kill_worker(random.Random(1))
        act_by_commands(env, site)
        jobs = ["crawl", "posted", *raw_jobs(queue)]
        wait_until(lambda: all(map(queue.has_ended, jobs)), 90, "all jobs end")
        assert {queue.state(job) for job in jobs} == {"completed"}
        read_every_endpoint(api, f"{site.url}/1")
        act_by_http(api)
        end_in_order(service, queue)
    queue.assert_whole("crawl", site.url, PAGES)
    queue.close()


def submit_by_all_doors(queue: QueueReader, api: Api, site: Site) -> None:
    hook = {"url": f"{site.url}/hook", "events": ["workerCompleted"]}
    job = {"type": "full-crawl", "url": f"{site.url}/0", "jobId": "crawl", "maxPages": 10_000}
    assert api.post("/jobs", {**job, "turboMode": True, "customerId": "acme"}).status == 201
    single = {"type": "single-page", "url": f"{site.url}/2", "jobId": "posted", "webhook": hook}
    assert api.post("/jobs", single).status == 201
    queue.push(f"{site.url}/3", "nonsense")
    queue.redis.lpush("single-page:start_urls", f"{site.url}/4")
    wait_until(lambda: len(raw_jobs(queue)) == 2, 30, "the pushes are taken")
    wait_until(lambda: queue.rejected() == 1, 30, "nonsense is refused")


def raw_jobs(queue: QueueReader) -> list[str]:
    """Jobs that came by a push."""
    states = ("waiting", "active", "completed")
    return [job for it in states for job in queue.jobs(it) if job not in ("crawl", "posted")]


def act_by_commands(env: Mapping[str, str], site: Site) -> None:
    """Commands speak to Redis themselves: an order, and a job that is followed."""
    for command in (("check",), ("scale", "3"), ("token", "create", "--customer-id", "acme")):
        done = run("supervisor", *command, env=env, timeout_s=90)
        assert done.returncode == 0, (command, done.stderr)
    done = run(
        "supervisor", "submit", "single-page", f"{site.url}/5", "--job-id", "followed", "--wait",
        "--json", env=env, timeout_s=90,
    )  # fmt: skip
    assert json.loads(done.stdout)["status"] == "completed", done.stderr


def read_every_endpoint(api: Api, page: str) -> None:
    paths = api.get("/openapi.json").json["paths"]
    streams = {"/events", "/jobs/{jobId}/events"}
    for path in [path for path, methods in paths.items() if "get" in methods]:
        place = path.replace("{jobId}", "posted")
        if path in streams:
            with api.stream(place, Last_Event_ID="0-0") as events:
                assert next(events).name
            continue
        query = f"?url={page}" if path.endswith("/explain") else ""
        assert "{" not in place, f"say what to put into {path}"
        reply = api.get(place + query)
        assert reply.status == 200, (path, reply.body)
    wait_until(
        lambda: re.search(rb'"status": ?404', api.get("/jobs/posted/deliveries").body), 30,
        "the webhook was tried",
    )  # fmt: skip


def act_by_http(api: Api) -> None:
    """What ends jobs, brings them back and removes them; the whole queue."""
    for place in ("/queue/pause", "/queue/resume", "/workers/worker-1/restart"):
        assert api.post(place).status in (200, 202), place
    parked = {"type": "single-page", "url": "http://later.test/", "delay": 3_600_000}
    assert api.post("/jobs", {**parked, "jobId": "parked"}).status == 201
    for action in ("pause", "resume", "cancel", "retry", "cancel"):
        reply = api.post(f"/jobs/parked/{action}", {} if action == "retry" else None)
        assert reply.status == 200, (action, reply.body)
    assert api.call("DELETE", "/jobs/parked").status in (200, 204)


def end_in_order(service: Fleet, queue: QueueReader) -> None:
    service.process.send_signal(signal.SIGHUP)
    assert service.terminate() == 0
    assert queue.workers() == []
