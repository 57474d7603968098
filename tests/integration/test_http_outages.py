"""The HTTP API while Redis is full, or away: clear refusals, and it goes on by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from tests.support.http_api import OPERATOR, Api, http_server
from tests.support.redis_server import running_server

JOB = {"type": "single-page", "url": "http://site.test/", "jobId": "one"}


@pytest.fixture
def server() -> Iterator[str]:
    """A server of this test's own."""
    with running_server() as url:
        yield url


@pytest.fixture
def api(server: str) -> Iterator[Api]:
    with http_server(server, "outages", API_TOKEN=OPERATOR) as served:
        yield served


def test_a_full_server_refuses_jobs_and_says_what_to_do(api: Api, server: str) -> None:
    with redis.Redis.from_url(server) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", int(used * 1.05))
        refused = api.post("/jobs", JOB)
        assert (refused.status, refused.code) == (507, "queue_full")
        assert "maxmemory" in refused.json["error"]["hint"]
        assert refused.headers["retry-after"]
        assert api.get("/jobs/one").code == "job_not_found"
        client.config_set("maxmemory", 0)


def test_a_silent_server_leaves_the_outcome_open_and_the_repeat_is_the_same_job(
    api: Api, server: str
) -> None:
    assert api.post("/jobs", {**JOB, "jobId": "before"}).status == 201
    with redis.Redis.from_url(server) as client:
        process = psutil.Process(client.info("server")["process_id"])
    process.send_signal(signal.SIGSTOP)
    try:
        unknown = api.post("/jobs", JOB)
        assert (unknown.status, unknown.code) == (503, "outcome_unknown")
        assert unknown.json["error"]["jobIds"] == ["one"]
        assert unknown.headers["retry-after"]
        unhealthy = api.get("/health")
        assert (unhealthy.status, unhealthy.json["healthy"]) == (503, False)
        assert b"scraper_redis_up" in api.get("/metrics").body
        assert api.get("/health/live").status == 200
        assert api.get("/health/ready").code == "redis_unreachable"
    finally:
        process.send_signal(signal.SIGCONT)
    repeated = api.post("/jobs", JOB)
    assert repeated.status in (200, 201)
    assert [job["id"] for job in api.get("/jobs").json["jobs"]].count("one") == 1


def test_a_server_that_is_gone_is_told_at_once_and_tokens_still_count() -> None:
    with running_server() as url, http_server(url, "outages", API_TOKEN=OPERATOR) as api:
        socket = Path(url.removeprefix("unix://"))
        with redis.Redis.from_url(url) as client:
            client.shutdown(nosave=True)
        assert not socket.exists()
        gone = api.get("/jobs")
        assert (gone.status, gone.code) == (503, "redis_unreachable")
        assert b'scraper_redis_up{queue="outages"} 0.0' in api.get("/metrics").body
        assert api.by("wrong").get("/jobs").status == 401
        assert api.by("sw_0011_x").get("/jobs").code == "redis_unreachable"
        assert api.by(None).get("/jobs").status == 401
