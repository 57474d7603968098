"""A real Chromium, a real service with a worker, and pages that report every fault of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    Response,
    expect,
    sync_playwright,
)

from benchmarks.dashboard import FLAGS
from tests.support.http_api import Api
from tests.support.processes import environment, running, wait_until
from tests.support.redis_server import free_port
from tests.support.site import Answer, Site, html, serve

WITHIN_MS = 20_000
expect.set_options(timeout=WITHIN_MS)

HOSTILE = "<script>document.title='taken over'</script><img src=x onerror=\"alert(1)\">"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium as Debian has it. Skips where there is none, fails in CI."""
    path = shutil.which("chromium")
    if path is None:
        reason = "there is no chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its API, its data folder, and the site that its worker may fetch."""

    api: Api
    site: Site
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api.port}"

    def submit(self, job_id: str, path: str = "/0", **fields: object) -> str:
        """A crawl of the site; the same again is the same job."""
        made = self.api.post(
            "/jobs",
            {"type": "full-crawl", "url": f"{self.site.url}{path}", "customerId": "acme",
             "jobId": job_id, **fields},
        )  # fmt: skip
        assert made.status in (200, 201), made.body
        return job_id

    def state_of(self, job_id: str) -> str:
        return str(self.api.get(f"/jobs/{job_id}").json["state"])

    def ended(self, job_id: str, path: str = "/0", **fields: object) -> str:
        """A crawl that has ended."""
        self.submit(job_id, path, **fields)
        wait_until(lambda: self.state_of(job_id) == "completed", 60, f"{job_id} ends")
        return job_id


def hostile_site() -> Callable[[str], Answer]:
    """Pages whose title and links attack whoever shows them; every seventh is missing."""

    def answer(path: str) -> Answer:
        number = int(path.strip("/") or 0) if path.strip("/").isdigit() else -1
        if number < 0 or number % 7 == 6:
            return Answer(b"gone", status=404)
        children = [f"/{number * 3 + child}" for child in (1, 2, 3) if number * 3 + child < 90]
        page = html(*children, "javascript:alert(2)", "https://elsewhere.test/", title=HOSTILE)
        page.delay_s = 0.02
        return page

    return answer


@contextlib.contextmanager
def running_service(folder: Path, **env: str) -> Iterator[Service]:
    """`supervisor run` on an embedded server of its own, with one worker."""
    port = free_port()
    settings = environment(
        None, DATA_DIR=str(folder), WORKER_COUNT="1", HTTP_PORT=str(port), LOG_LEVEL="error", **env
    )
    api = Api(port, env.get("API_TOKEN"))

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            return bool(api.get("/workers").json.get("supervisors"))
        return False

    with (
        serve(default=hostile_site()) as site,
        running("supervisor", "run", env=settings) as [process],
    ):
        wait_until(lambda: process.poll() is not None or is_up(), 60, "the service is up")
        yield Service(api, site, folder)
        process.terminate()
        process.wait(40)


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture
def finished(service: Service) -> str:
    """A crawl that has ended, with pages, errors, links left out, and a webhook that was called."""
    service.site.pages["/hook"] = Answer(status=204)
    return service.ended("finished", webhook={"url": f"{service.site.url}/hook"})


def _is_fault(message: ConsoleMessage) -> bool:
    """An answer such as 422 is noted there by the browser; the pages show it in their own words."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def _is_nowhere(answer: Response) -> bool:
    """A 404 is right for a job that was just deleted, and for nothing else."""
    path = urlsplit(answer.url).path
    return answer.status == 405 or (answer.status == 404 and not re.fullmatch("/jobs/[^/]+", path))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab; the test fails if a page of ours reports an error, opens a dialog of its own, or asks
    for what the API does not have."""
    faults: list[str] = []

    def refuse(dialog: Dialog) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(WITHIN_MS)
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("dialog", refuse)
    tab.on("response", lambda answer: faults.append(answer.url) if _is_nowhere(answer) else None)
    tab.on("console", lambda message: faults.append(message.text) if _is_fault(message) else None)
    yield tab
    context.close()
    assert faults == []
