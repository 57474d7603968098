"""The commands against a running service over HTTP, and the service's server as its child."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import QueuePlace
from tests.support.http_api import OPERATOR, Api
from tests.support.processes import ROOT, environment, run, running, wait_until
from tests.support.redis_server import free_port
from tests.support.site import Site, serve, tree


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve(default=tree(40)) as served:
        yield served


@dataclass(frozen=True, slots=True)
class Service:
    """A running service with an operator's token."""

    place: QueuePlace
    port: int
    pid: int

    @property
    def api(self) -> Api:
        return Api(self.port, OPERATOR)

    @property
    def server_pid(self) -> int | None:
        """The child that serves HTTP."""
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "supervisor.http" in child.cmdline():
                    return child.pid
        return None

    def cli(
        self, *arguments: str, token: str | None = OPERATOR
    ) -> subprocess.CompletedProcess[str]:
        """A command that knows the service's address only; Redis is out of its reach."""
        url = f"http://127.0.0.1:{self.port}"
        env = environment("redis://127.0.0.1:1", SCRAPER_SERVER=url)
        if token:
            env["SCRAPER_TOKEN"] = token
        done = run("supervisor", *arguments, env=env)
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = QueuePlace(redis_url, f"cli-{tmp_path_factory.mktemp('http').name}")
    port = free_port()
    command = ("supervisor", "run", "--workers", "1", "--port", str(port))
    with running(*command, env=place.env(API_TOKEN=OPERATOR)) as [process]:
        made = Service(place, port, process.pid)
        wait_until(lambda: _is_ready(made), 60, "the service is up")
        yield made


def _is_ready(service: Service) -> bool:
    try:
        return "running" in _states(service)
    except OSError:
        return False


def _states(service: Service) -> list[str]:
    return [worker.get("state") for worker in service.api.get("/workers").json["workers"]]


def test_a_job_is_submitted_followed_and_fetched(
    service: Service, site: Site, tmp_path: Path
) -> None:
    done = service.cli(
        "submit", "full-crawl", f"{site.url}/0", "--job-id", "crawl", "--customer-id", "acme",
        "--wait", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pagesScraped"] == 40
    lines = service.cli("data", "crawl").stdout.splitlines()
    assert {json.loads(line)["url"] for line in lines} == {f"{site.url}/{n}" for n in range(40)}
    assert "worker-1" in service.cli("workers").stdout
    assert "worker-1 is restarted" in service.cli("restart", "worker-1").stderr


def test_a_crawl_is_done_by_the_services_workers(
    service: Service, site: Site, tmp_path: Path
) -> None:
    out = tmp_path / "pages.jsonl"
    done = service.cli("crawl", f"{site.url}/0", "--max-pages", "5", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert "5 pages" in done.stderr
    assert len(out.read_text().splitlines()) == 5


def test_what_is_wrong_is_one_line_and_an_exit_code(service: Service) -> None:
    wrong = service.cli("jobs", token="not-a-right-token")
    assert (wrong.returncode, "token list" in wrong.stderr) == (2, True)
    away = service.cli("jobs", "--server", "http://127.0.0.1:1")
    assert (away.returncode, "out of reach" in away.stderr) == (3, True)
    missing = service.cli("jobs", token=None)
    assert (missing.returncode, "SCRAPER_TOKEN" in missing.stderr) == (2, True)
    for done in (wrong, away, missing):
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_tokens_are_not_looked_for_on_this_machine_when_a_service_is_named(tmp_path: Path) -> None:
    env = environment(None, SCRAPER_SERVER="http://127.0.0.1:1", HOME=str(tmp_path))
    refused = run("supervisor", "token", "list", env=env)
    assert refused.returncode == 2
    assert "--data-dir" in refused.stderr
    named = run("supervisor", "token", "list", "--data-dir", str(tmp_path / "data"), env=env)
    assert (named.returncode, named.stderr) == (0, "there are no tokens\n")


def test_a_killed_server_comes_back_on_its_port_and_no_worker_notices(service: Service) -> None:
    # Another test restarts a worker: its predecessor may be about to end.
    wait_until(lambda: _states(service) == ["running"], 60, "the one worker is alone")
    workers = {worker["pid"] for worker in service.api.get("/workers").json["workers"]}
    before = service.server_pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    # Not refused meanwhile: the supervisor has the socket.
    assert service.api.get("/health/live").status == 200
    assert service.server_pid not in (None, before)
    assert {worker["pid"] for worker in service.api.get("/workers").json["workers"]} == workers


def test_a_stopped_server_is_taken_for_stalled_and_replaced(service: Service) -> None:
    before = service.server_pid
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    wait_until(lambda: service.server_pid not in (None, before), 60, "another one serves")
    assert service.api.get("/health/ready").status == 200


def test_the_server_ends_with_its_supervisor(place: QueuePlace) -> None:
    port = free_port()
    with running("supervisor", "run", "--workers", "1", "--port", str(port), env=place.env()) as [
        run_
    ]:
        made = Service(place, port, run_.pid)
        wait_until(lambda: made.server_pid is not None, 60, "it serves")
        pid = made.server_pid
        os.kill(run_.pid, signal.SIGKILL)
        run_.wait(10)
        wait_until(lambda: not psutil.pid_exists(pid or 0), 10, "it is gone, too")


def test_the_service_prints_where_it_is(place: QueuePlace) -> None:
    env = place.env(LOG_LEVEL="info")
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor", "run", "--workers", "1", "--port", "0"], cwd=ROOT,
        env=env, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as started:  # fmt: skip
        try:
            assert started.stderr is not None
            line = next(line for line in started.stderr if '"HTTP API"' in line)
            assert re.search(r'"url": "http://127\.0\.0\.1:[1-9][0-9]+/"', line)
        finally:
            os.killpg(started.pid, signal.SIGKILL)
