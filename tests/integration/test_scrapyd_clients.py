"""scrapyd's clients, as they come from PyPI, drive a running service: all that they can do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from scrapyd_api import ScrapydAPI
from scrapyd_api.exceptions import ScrapydResponseError
from scrapyd_client import ScrapydClient
from scrapyd_client.exceptions import ErrorResponse

from scraper.jobs.version import VERSION
from tests.integration.conftest import QueuePlace
from tests.support.http_api import Api
from tests.support.processes import ROOT, kill_group, running, wait_until
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


@dataclass(frozen=True, slots=True)
class ScrapydWeb:
    """A running ScrapydWeb whose one node is the service."""

    url: str

    def get(self, path: str) -> requests.Response:
        return self._looked_at(requests.get(f"{self.url}/1/{path}", timeout=30))

    def post(self, path: str, form: dict[str, str], **more: Any) -> requests.Response:
        answer = requests.post(f"{self.url}/1/{path}", data=form, timeout=30, **more)
        return self._looked_at(answer)

    def _looked_at(self, answer: requests.Response) -> requests.Response:
        assert answer.status_code == 200, (answer.url, answer.text)
        return answer

    def api(self, call: str) -> Any:
        """What the service answered to it."""
        return self.get(f"api/{call}/").json()

    def schedule(self, job: str, arguments: str) -> None:
        """By its form: the command is shown first, then sent."""
        form = {"project": "scraper", "spider": "full-crawl", "jobid": job}
        shown = self.post("schedule/check/", {**form, "additional": arguments}).json()
        assert f"-d jobid={job}" in shown["cmd"]
        assert job in self.post("schedule/run/", {"filename": shown["filename"]}).text

    def jobs(self, state: str) -> list[str]:
        return [job["id"] for job in self.api("listjobs/scraper")[state]]


@pytest.fixture(scope="module")
def scrapydweb(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScrapydWeb]:
    """Of an environment of its own, as it pins old versions. Skips without, fails in CI."""
    found = list((ROOT / ".venv-scrapydweb").glob("lib/python*/site-packages/scrapydweb"))
    if not found:
        reason = "there is no ScrapydWeb: make .venv-scrapydweb/ready"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("scrapydweb")
    shutil.copy(found[0] / "default_settings.py", folder / "scrapydweb_settings_v11.py")
    port = free_port()
    node = f"{LOGIN[0]}:{LOGIN[1]}@{service.url.removeprefix('http://')}"
    process = subprocess.Popen(
        [ROOT / ".venv-scrapydweb" / "bin" / "scrapydweb", "--bind", "127.0.0.1", "--port",
         str(port), "--scrapyd_server", node, "--disable_auth", "--disable_logparser",
         "--disable_monitor"],
        cwd=folder, env={**os.environ, "DATA_PATH": str(folder / "data")},
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def is_up() -> bool:
        assert process.poll() is None, "ScrapydWeb ended"
        with contextlib.suppress(OSError):
            return requests.get(f"http://127.0.0.1:{port}/1/servers/", timeout=30).ok
        return False

    try:
        wait_until(is_up, 60, "ScrapydWeb is up")
        yield ScrapydWeb(f"http://127.0.0.1:{port}")
    finally:
        kill_group(process)


def test_scrapydweb_lists_schedules_follows_and_stops(
    service: Service, scrapydweb: ScrapydWeb
) -> None:
    assert scrapydweb.api("daemonstatus")["status"] == "ok"
    assert scrapydweb.api("listprojects")["projects"] == ["scraper"]
    assert scrapydweb.api("listversions/scraper")["versions"] == [VERSION]
    spiders = scrapydweb.api(f"listspiders/scraper/{VERSION}")["spiders"]
    assert spiders == ["full-crawl", "single-page"]
    scrapydweb.schedule("by-form", f"-d url={service.site.url}/0 -d maxPages=5")
    wait_until(lambda: "by-form" in scrapydweb.jobs("finished"), what="it is crawled")
    assert "by-form" in scrapydweb.get("jobs/").text
    assert "by-form.log" in scrapydweb.get("logs/scraper/full-crawl/").text
    assert "by-form.jl" in scrapydweb.get("items/scraper/full-crawl/").text
    log = scrapydweb.get("log/utf8/scraper/full-crawl/by-form/").text
    assert log.count("Crawled (200)") == 5
    assert "max_pages" in scrapydweb.get("log/stats/scraper/full-crawl/by-form/").text
    scrapydweb.schedule("to-stop", f"-d url={service.site.url}/1 -d delay=600000")
    assert "to-stop" in scrapydweb.jobs("pending")
    assert scrapydweb.api("stop/scraper/to-stop")["prevstate"] == "pending"
    assert "to-stop" in scrapydweb.jobs("finished")


def test_scrapydweb_is_told_that_no_code_is_taken(scrapydweb: ScrapydWeb) -> None:
    for call in (f"delversion/scraper/{VERSION}", "delproject/scraper"):
        assert "takes no code" in scrapydweb.api(call)["message"]
    egg = {"file": ("scraper.egg", b"PK")}
    form = {"project": "scraper", "version": "7", "checked_amount": "0"}
    assert "takes no code" in scrapydweb.post("deploy/upload/", form, files=egg).text
