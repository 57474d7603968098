"""What the Dockerfile makes runs: its files alone, read-only, by a user without rights.

No container engine is needed: bubblewrap gives the same view of the files, process 1 and user.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml

from tests.chaos.doc_packages import tool
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale, unavailable
from tests.support.figures import none_of, tell, times
from tests.support.http_api import OPERATOR, Api
from tests.support.processes import ROOT, wait_until
from tests.support.redis_server import free_port, server_process, short_folder
from tests.support.site import serve, tree

QUEUE = "scrape-queue"
PAGES = 60
STOPS = by_scale(1, 20)
STOPPED_PAGES = by_scale(300, 8_000)
PAGE_S = by_scale(0.5, 1.0)
USER = "10001"


class Image:
    """The Dockerfile's last stage, as far as it says what runs and on which files."""

    def __init__(self, app: Path) -> None:
        text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
        build, final = text.rsplit("\nFROM ", 1)
        for name in re.findall(r"^COPY (\S+) ", build, re.M):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, app / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, app / name)
        self.app = app
        self.env = dict(
            pair.split("=", 1) for pair in shlex.split(re.findall(r"^ENV (.+)$", final, re.M)[0])
        )
        self.entry: list[str] = json.loads(re.findall(r"^ENTRYPOINT (\[.+\])$", final, re.M)[0])
        self.command: list[str] = json.loads(re.findall(r"^CMD (\[.+\])$", final, re.M)[0])
        self.health: list[str] = json.loads(
            re.findall(r"^HEALTHCHECK .*?CMD (\[.+\])$", final, re.M)[0]
        )
        assert re.findall(r"^USER (\d+):", final, re.M) == [USER]

    def run(self, data: Path, env: Mapping[str, str]) -> list[str]:
        """The command line that does what `docker run` of this image does.

        Only /tmp and /data can be written. The interpreter and its packages are this machine's.
        """
        python = Path(sys.prefix)
        view = ["--ro-bind", str(python), "/venv", "--ro-bind", str(self.app), "/app"]
        for place in (python, Path(sys.base_prefix)):
            view += ["--ro-bind", str(place), str(place)]
        for place in map(Path, ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64")):
            if place.exists():
                view += ["--ro-bind", str(place), str(place)]
        view += ["--ro-bind", tool("tini", "tini"), "/opt/tini"]
        return [
            tool("bwrap", "bubblewrap"), "--die-with-parent", "--unshare-user", "--unshare-pid",
            "--as-pid-1", "--uid", USER, "--gid", USER, "--cap-drop", "ALL", "--clearenv", *view,
            "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind", str(data), "/data",
            "--chdir", "/app", "--remount-ro", "/",
            *(word for name, value in self.set(env).items() for word in ("--setenv", name, value)),
            *self.entry, *self.command,
        ]  # fmt: skip

    def set(self, env: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a process in a container."""
        return self.env | {"PATH": "/venv/bin:/opt:/usr/bin:/bin"} | dict(env)

    def check_health(self, first: psutil.Process, env: Mapping[str, str]) -> str:
        """The health check beside a container's process 1; its exit code and what it said."""
        settings = [f"{name}={value}" for name, value in self.set(env).items()]
        done = subprocess.run(
            ["nsenter", "--target", str(first.pid), "--user", "--mount", "--pid",
             "--preserve-credentials", "--wd", "env", "-i", *settings, *self.health],
            capture_output=True, check=False, text=True, timeout=60,
        )  # fmt: skip
        return f"{done.returncode} {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    trial = [tool("bwrap", "bubblewrap"), "--unshare-user", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(trial, capture_output=True, check=False, text=True)
    if tried.returncode:
        unavailable(f"no user namespaces here: {tried.stderr.strip()}")
    return Image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def own_redis() -> Iterator[str]:
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    arguments = ["--port", str(port), "--bind", "127.0.0.1"]
    with short_folder() as folder, server_process(folder, arguments, url):
        yield url


@pytest.fixture(params=["a Redis of its own", "the embedded server"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """REDIS_URL; "" for the embedded server in /data."""
    if request.param == "the embedded server":
        return ""
    url: str = request.getfixturevalue("own_redis")
    return url


def is_up(api: Api) -> bool:
    try:
        return any(it["state"] == "running" for it in api.get("/workers").json["workers"])
    except OSError:
        return False


def first_of(container: subprocess.Popen[bytes]) -> psutil.Process:
    """Its process 1."""
    [first] = psutil.Process(container.pid).children()
    return first


@contextlib.contextmanager
def running_container(
    image: Image, data: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    data.mkdir(mode=0o700)
    container = subprocess.Popen(image.run(data, env), start_new_session=True)
    try:
        yield container
    finally:
        container.kill()
        container.wait(10)


@pytest.mark.timeout(by_scale(180, 900))
def test_pods_that_kubernetes_replaces_in_mid_crawl_cost_nothing(
    image: Image, tmp_path: Path, own_redis: str
) -> None:
    """As a Deployment does it: the new pod is ready, then the old one's process 1 gets SIGTERM."""
    queue = QueueReader(own_redis, QUEUE)
    grace_s = yaml.safe_load((ROOT / "deploy/k8s/base/deployment.yaml").read_text())["spec"][
        "template"]["spec"]["terminationGracePeriodSeconds"]  # fmt: skip

    def start(number: int) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        pod = f"pod-{number}"
        env = {
            "SUPERVISOR_NAME": pod, "REDIS_URL": own_redis, "ALLOW_PRIVATE_HOSTS": "127.0.0.0/8",
            "API_TOKEN": OPERATOR, "HTTP_PORT": str(free_port()), "WORKER_COUNT": "2",
            "LOG_LEVEL": "warning",
        }  # fmt: skip
        return running_container(image, tmp_path / pod, env)

    def has_pages(number: int) -> bool:
        return any(
            worker.startswith(f"pod-{number}/") and queue.leases(worker)
            for worker in queue.workers()
        )

    took_s = []
    with serve(default=tree(STOPPED_PAGES, delay_s=PAGE_S)) as site, contextlib.ExitStack() as pods:
        old = pods.enter_context(start(0))
        queue.push({"type": "full-crawl", "jobId": "crawl", "url": f"{site.url}/0",
                    "maxPages": 100_000, "turboMode": True})  # fmt: skip
        for number in range(STOPS):
            new = pods.enter_context(start(number + 1))
            for one in (number, number + 1):
                wait_until(partial(has_pages, one), 60, f"pod {one} has pages")
            began_s = time.monotonic()
            first_of(old).send_signal(signal.SIGTERM)
            assert old.wait(grace_s) == 0
            took_s.append(time.monotonic() - began_s)
            assert not has_pages(number)
            assert not queue.has_ended("crawl"), "stopped in mid-crawl"
            old = new
        wait_until(lambda: queue.has_ended("crawl"), by_scale(120, 500), "the crawl ends")
        queue.assert_whole("crawl", site.url, STOPPED_PAGES)
        packed = queue.redis.hvals(f"{queue.prefix}job:crawl:pages")
        assert {page.split(b" ")[3] for page in packed} == {b"1"}, "attempts were charged"
        assert site.hits.total() == STOPPED_PAGES, "a drain fetches no page twice"
    tell(
        "SIGTERM as Kubernetes sends it", times(took_s),
        none_of(STOPPED_PAGES, "pages lost, fetched twice or charged"),
    )  # fmt: skip
    queue.close()


def test_a_container_crawls_is_healthy_and_stops_in_order(
    image: Image, tmp_path: Path, redis_url: str
) -> None:
    data = tmp_path / "data"
    port = free_port()
    env = {
        "API_TOKEN": OPERATOR, "ALLOW_PRIVATE_HOSTS": "127.0.0.0/8", "HTTP_PORT": str(port),
        "WORKER_COUNT": "1", **({"REDIS_URL": redis_url} if redis_url else {}),
    }  # fmt: skip
    api = Api(port, OPERATOR)
    with running_container(image, data, env) as container:
        with serve(default=tree(PAGES)) as site:
            wait_until(lambda: is_up(api), 60, "it is up")
            job = {"type": "full-crawl", "url": f"{site.url}/0", "jobId": "crawl"}
            assert api.post("/jobs", job).status == 201
            wait_until(lambda: api.get("/jobs/crawl").json["state"] == "completed", 60, "it crawls")
            assert api.get("/jobs/crawl/result").json["pagesScraped"] == PAGES
        first = first_of(container)
        assert first.name() == "tini"
        assert image.check_health(first, env).startswith("0 ")
        first.send_signal(signal.SIGTERM)
        assert container.wait(45) == 0
        assert bool(list(data.iterdir())) is not bool(redis_url), "/data is for the embedded server"
