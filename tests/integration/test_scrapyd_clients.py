"""scrapyd's clients, as they come from PyPI, drive a running service: all that they can do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from scrapyd_api import ScrapydAPI
from scrapyd_api.exceptions import ScrapydResponseError
from scrapyd_client import ScrapydClient
from scrapyd_client.exceptions import ErrorResponse

from scraper.jobs.version import VERSION
from tests.integration.conftest import QueuePlace
from tests.support.http_api import Api
from tests.support.processes import running, wait_until
from tests.support.redis_server import free_port
from tests.support.site import Site, serve, tree

LOGIN = ("me", "the-password")


@dataclass(frozen=True, slots=True)
class Service:
    """A service with scrapyd's port, a site that its worker may fetch, a project beside it."""

    url: str
    site: Site
    project: Path

    def command(self, name: str, *arguments: str) -> str:
        """A command of scrapyd-client in a project whose target is this service: what it prints."""
        done = subprocess.run(
            [Path(sys.executable).with_name(name), *arguments], cwd=self.project, timeout=60,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def page(self, path: str) -> str:
        """A page, as a browser gets it that has the password."""
        answer = requests.get(self.url + path, auth=LOGIN, timeout=30)
        assert answer.status_code == 200
        return answer.text


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("project")
    place = QueuePlace(redis_url, f"clients-{folder.name}")
    port = free_port()
    (folder / "scrapy.cfg").write_text(
        "[settings]\ndefault = nothing.settings\n"
        f"[deploy]\nurl = http://127.0.0.1:{port}/\nproject = scraper\n"
        f"username = {LOGIN[0]}\npassword = {LOGIN[1]}\n"
    )
    env = place.env(
        SCRAPYD_PORT=str(port), SCRAPYD_USERNAME=LOGIN[0], SCRAPYD_PASSWORD=LOGIN[1],
        WORKER_COUNT="1",
    )  # fmt: skip
    with serve(default=tree(30)) as site, running("supervisor", "run", env=env):
        wait_until(lambda: _is_up(port), what="scrapyd's port answers")
        yield Service(f"http://127.0.0.1:{port}", site, folder)


def _is_up(port: int) -> bool:
    with contextlib.suppress(OSError):
        return Api(port).get("/daemonstatus.json").status == 401
    return False


def test_the_command_line_lists_schedules_and_deploys(service: Service) -> None:
    assert "http://127.0.0.1" in service.command("scrapyd-client", "targets")
    # Twice the slash: the address ends with one, and the command adds another.
    assert service.command("scrapyd-client", "projects").split() == ["scraper"]
    listed = service.command("scrapyd-client", "spiders", "-p", "scraper", "-v").splitlines()
    assert listed == ["scraper full-crawl", "scraper single-page"]
    url = f"--arg=url={service.site.url}/0"
    said = service.command(
        "scrapyd-client", "schedule", "-p", "scrap*", "full-crawl", url, "--arg=maxPages=3"
    )
    name, _, job_id = said.strip().partition(" => ")
    assert name == "scraper / full-crawl"
    client = ScrapydAPI(service.url, LOGIN)
    wait_until(lambda: client.job_status("scraper", job_id) == "finished", what="it is crawled")
    assert "takes no code" in service.command("scrapyd-deploy", "-v", "7")


def test_scrapyd_client_from_python(service: Service) -> None:
    client = ScrapydClient(service.url, *LOGIN)
    assert client.projects("scr*") == ["scraper"]
    assert client.spiders("scraper", "single*") == ["single-page"]
    assert client.versions("scraper") == [VERSION]
    later = [("url", f"{service.site.url}/1"), ("delay", "600000")]
    job_id = client.schedule("scraper", "single-page", later)
    assert client.status(job_id, "scraper")["currstate"] == "pending"
    assert job_id in [job["id"] for job in client.jobs("scraper")["pending"]]
    assert client.daemonstatus()["pending"] >= 1
    assert client.cancel("scraper", job_id)["prevstate"] == "pending"
    assert client.status(job_id)["currstate"] == "finished"
    refusals: list[tuple[Callable[[], object], str]] = [
        (lambda: client.delproject("scraper"), "takes no code"),
        (lambda: client.delversion("scraper", VERSION), "takes no code"),
        (lambda: client.schedule("scraper", "nope"), "spider 'nope' not found"),
    ]
    for refused, why in refusals:
        with pytest.raises(ErrorResponse, match=why):
            refused()


def test_python_scrapyd_api(service: Service) -> None:
    client = ScrapydAPI(service.url, LOGIN)
    assert client.list_projects() == ["scraper"]
    assert client.list_spiders("scraper") == ["full-crawl", "single-page"]
    assert client.list_versions("scraper") == [VERSION]
    crawl = {"url": f"{service.site.url}/0", "maxPages": "20", "jobid": "followed"}
    assert client.schedule("scraper", "full-crawl", **crawl) == "followed"
    wait_until(lambda: client.job_status("scraper", "followed") == "finished", what="the crawl")
    jobs = client.list_jobs("scraper")
    assert jobs.keys() == {"pending", "running", "finished", "node_name"}
    [ended] = [job for job in jobs["finished"] if job["id"] == "followed"]
    log = service.page(ended["log_url"])
    assert log.count("Crawled (200) <GET ") == 20
    assert log.rstrip().endswith("INFO: Spider closed (max_pages)")
    assert len(service.page(ended["items_url"]).splitlines()) == 20
    later = {"url": f"{service.site.url}/1", "delay": "600000", "jobid": "ended"}
    client.schedule("scraper", "single-page", settings={"CLOSESPIDER_TIMEOUT": "60"}, **later)
    assert client.job_status("scraper", "ended") == "pending"
    assert client.cancel("scraper", "ended") == "pending"
    assert client.job_status("scraper", "unknown") == ""
    refusals: list[Callable[[], object]] = [
        lambda: client.add_version("scraper", "7", b"PK"),
        lambda: client.delete_version("scraper", VERSION),
        lambda: client.delete_project("scraper"),
    ]
    for refused in refusals:
        with pytest.raises(ScrapydResponseError, match="takes no code"):
            refused()
