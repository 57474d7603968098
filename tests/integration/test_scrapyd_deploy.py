"""`scrapyd-deploy` brings our spiders to a real scrapyd 1.6: there they run alone or as workers."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scrapyd_api import ScrapydAPI

from scraper.jobs import JobQueue, load_config, open_queue
from tests.integration.conftest import QueuePlace
from tests.support.processes import ROOT, kill_group, wait_until
from tests.support.redis_server import free_port
from tests.support.site import Site, serve, tree

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

# Those that the other test's crawl does not come to.
PATHS = ("/35", "/36", "/37", "/38", "/39")
CONFIG = """\
[scrapyd]
http_port = {port}
poll_interval = 0.2
"""


@dataclass(frozen=True, slots=True)
class Scrapyd:
    """A scrapyd that has our project as version 7, on the queue `place`."""

    client: ScrapydAPI
    site: Site
    place: QueuePlace
    folder: Path

    def log(self, spider: str, job: str) -> str:
        return (self.folder / "logs" / "scraper" / spider / f"{job}.log").read_text()


@pytest.fixture(scope="module")
def scrapyd(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrapyd]:
    folder = tmp_path_factory.mktemp("scrapyd")
    place = QueuePlace(redis_url, f"deployed-{folder.name}")
    port = free_port()
    (folder / "scrapyd.conf").write_text(CONFIG.format(port=port))
    # Nothing of this folder is in its way: what runs there comes out of the egg.
    process = subprocess.Popen(
        [Path(sys.executable).with_name("scrapyd")], cwd=folder, env=place.env(LOG_LEVEL="info"),
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    client = ScrapydAPI(f"http://127.0.0.1:{port}")

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            return bool(client.list_projects() == [])
        return False

    try:
        wait_until(is_up, what="scrapyd is up")
        _deploy(folder / "project", port)
        with serve(default=tree(40)) as site:
            yield Scrapyd(client, site, place, folder)
    finally:
        kill_group(process)


def _deploy(project: Path, port: int) -> None:
    """`scrapyd-deploy` in a copy of this project: it leaves folders behind where it builds."""
    shutil.copytree(
        ROOT / "scraper", project / "scraper", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("setup.py", "scrapy.cfg"):
        shutil.copy(ROOT / name, project)
    with (project / "scrapy.cfg").open("a") as file:
        file.write(f"url = http://127.0.0.1:{port}/\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("scrapyd-deploy"), "-v", "7"], cwd=project, timeout=100,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"status": "ok"' in done.stdout
    assert '"spiders": 2' in done.stdout


@pytest.fixture
async def queue(scrapyd: Scrapyd) -> AsyncIterator[JobQueue]:
    """The queue that scrapyd's environment names."""
    config = load_config({}, redis_url=scrapyd.place.url, queue_name=scrapyd.place.name)
    opened = await open_queue(config)
    yield opened
    await opened.shutdown()


async def test_one_shot_job_runs_and_ends(scrapyd: Scrapyd, queue: JobQueue) -> None:
    client = scrapyd.client
    assert client.list_versions("scraper") == ["7"]
    assert client.list_spiders("scraper") == ["full-crawl", "single-page"]
    job = client.schedule("scraper", "full-crawl", url=f"{scrapyd.site.url}/0", maxPages="12")
    wait_until(
        lambda: client.job_status("scraper", job) == "finished", 90, "the spider's process ends"
    )
    result = await queue.result(job)
    assert (result.status, result.pages_scraped) == ("completed", 12)
    assert "Traceback" not in scrapyd.log("full-crawl", job)


async def test_worker_of_the_queue_does_its_jobs_until_it_is_cancelled(
    scrapyd: Scrapyd, queue: JobQueue
) -> None:
    client = scrapyd.client
    worker = client.schedule("scraper", "single-page")
    jobs = [
        await queue.add_job({"type": "single-page", "url": f"{scrapyd.site.url}{path}"})
        for path in PATHS
    ]
    results = [await job.result(timeout=90) for job in jobs]
    assert {result.status for result in results} == {"completed"}
    assert client.job_status("scraper", worker) == "running"
    assert client.cancel("scraper", worker) == "running"
    wait_until(lambda: client.job_status("scraper", worker) == "finished", 60, "the worker ends")
    assert "Traceback" not in scrapyd.log("single-page", worker)
    fetched = {path: count for path, count in scrapyd.site.hits.items() if path in PATHS}
    assert fetched == dict.fromkeys(PATHS, 1)
