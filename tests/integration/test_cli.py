"""The command line as users run it: what it prints, where, and its exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from supervisor.fleet import read_fleet
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace
from tests.support.processes import ROOT, environment, run, running, start, wait_until
from tests.support.redis_server import free_port, server_process
from tests.support.services import asked
from tests.support.site import Site, serve, tree


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(default=tree(40)) as served:
        yield served


def cli(place: QueuePlace, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run("supervisor", *arguments, env=place.env())
    assert "Traceback" not in done.stderr, done.stderr
    return done


def workers_of(place: QueuePlace) -> list[str]:
    """The workers that a command would show, without starting one again and again."""
    workers = asked(place, read_fleet)["workers"]
    return [worker["id"].rpartition("/")[2] for worker in workers]


def test_crawl_writes_what_it_found_and_ends_the_embedded_server(
    site: Site, tmp_path: Path
) -> None:
    env = environment(None, DATA_DIR=str(tmp_path / "data"))
    out = tmp_path / "results.jsonl"
    done = run("supervisor", "crawl", f"{site.url}/0", "--output", str(out), env=env)
    assert done.returncode == 0, done.stderr
    pages = [json.loads(line) for line in out.read_text().splitlines()]
    assert {page["url"] for page in pages} == {f"{site.url}/{n}" for n in range(40)}
    assert "40 pages" in done.stderr
    wait_until(lambda: not _processes_with(str(tmp_path)), 5, "nothing is left running")


def _processes_with(text: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if text in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_scrape_writes_the_format_that_the_ending_names(
    place: QueuePlace, site: Site, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"page.{ending}"
    done = cli(place, "scrape", f"{site.url}/3", "--output", str(out))
    assert done.returncode == 0, done.stderr
    if ending == "json":
        rows = json.loads(out.read_text())
    else:
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    assert [row["url"] for row in rows] == [f"{site.url}/3"]


def test_output_to_stdout_is_json_lines_and_nothing_else(place: QueuePlace, site: Site) -> None:
    done = cli(place, "scrape", f"{site.url}/3", "--output", "-")
    assert [json.loads(line)["url"] for line in done.stdout.splitlines()] == [f"{site.url}/3"]


def test_a_crawl_without_a_file_says_where_its_pages_are(place: QueuePlace, site: Site) -> None:
    done = cli(place, "crawl", f"{site.url}/3", "--max-pages", "2", "--job-id", "two")
    assert done.returncode == 0
    assert "python -m supervisor data two" in done.stderr
    assert len(cli(place, "data", "two").stdout.splitlines()) == 2


def test_a_failed_job_exits_with_1_and_names_the_error(place: QueuePlace, site: Site) -> None:
    done = cli(place, "scrape", f"{site.url}/nowhere")
    assert done.returncode == 1
    assert "supervisor data" not in done.stderr
    assert "http_404" in done.stderr


def test_a_start_page_that_is_not_allowed_is_told_how_to_allow_it(
    place: QueuePlace, site: Site, tmp_path: Path
) -> None:
    env = place.env() | {"ALLOW_PRIVATE_HOSTS": ""}
    out = tmp_path / "pages.jsonl"
    done = run("supervisor", "crawl", f"{site.url}/0", "--output", str(out), env=env)
    assert done.returncode == 1
    assert f"ALLOW_PRIVATE_HOSTS={site.url.removeprefix('http://')}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["crwal", "http://127.0.0.1/"], "crawl"),
        (["crawl", "http://127.0.0.1/", "--max-page", "5"], "--max-pages"),
        (["crawl", "example.com"], "https://example.com"),
        (["crawl", "ftp://example.com/"], "http"),
        (["crawl", "http://127.0.0.1/", "--include", "re:(a"], "re:(a"),
        (["crawl", "http://127.0.0.1/", "--max-pages", "-1"], "maxPages"),
        (["submit", "full-crwl", "http://127.0.0.1/"], "full-crawl"),
        (["crawl", "http://127.0.0.1/", "--output", "pages.xml"], ".jsonl"),
        (["run", "--workers", "many"], "WORKER_COUNT"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line_that_helps(
    place: QueuePlace, arguments: list[str], hint: str
) -> None:
    done = cli(place, *arguments)
    assert done.returncode == 2
    assert hint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_redis_out_of_reach_exits_with_3_and_shows_no_password() -> None:
    env = environment("redis://:hunter2@127.0.0.1:1/0")
    done = run("supervisor", "jobs", env=env)
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_refuses_us_is_told_in_one_line_without_the_password(tmp_path: Path) -> None:
    port = free_port()
    server = f"127.0.0.1:{port}"
    rights = ["--port", str(port), "--requirepass", "hunter2", "--user"]
    rights += ["few", "on", ">few", "+hello", "+ping"]
    url = f"redis://:hunter2@{server}/0"
    with server_process(tmp_path, rights, url):
        for given, command, code, told in (
            (f"redis://{server}/0", "jobs", 3, "it asks for a password"),
            (f"redis://{server}/0", "check", 2, "it asks for a password"),
            (f"redis://:wrong@{server}/0", "jobs", 3, "invalid username-password"),
            (f"redis://:hunter2@{server}/77", "jobs", 3, "no database of this number"),
            (f"redis://few:few@{server}/0", "jobs", 1, "no permissions"),
            (url, "check", 0, f"redis://:***@{server}/0"),
        ):
            done = run("supervisor", command, env=environment(given))
            assert (done.returncode, told in done.stderr) == (code, True), done.stderr
            assert "Traceback" not in done.stderr
            assert "hunter2" not in done.stderr


def test_a_python_without_our_packages_is_told_to_take_the_right_one() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "supervisor", "jobs"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert ".venv/bin/python" in done.stderr


def test_the_trace_is_shown_with_debug(place: QueuePlace) -> None:
    done = run("supervisor", "job", "none", "--debug", env=place.env())
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_job_can_be_submitted_looked_at_retried_and_removed(
    place: QueuePlace, site: Site
) -> None:
    with running("supervisor", "run", "--workers", "1", env=place.env()):
        done = cli(place, "submit", "full-crawl", f"{site.url}/0", "--wait", "--json",
                   "--job-id", "mine", "--metadata", '{"order": 7}')  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["status"], result["pagesScraped"]) == ("completed", 40)
        assert result["metadata"]["order"] == 7
        listed = json.loads(cli(place, "jobs", "--state", "completed", "--json").stdout)
        assert [job["id"] for job in listed] == ["mine"]
        assert json.loads(cli(place, "job", "mine", "--json").stdout)["pages"]["done"] == 40
        assert len(cli(place, "data", "mine").stdout.splitlines()) == 40
        assert "no page left" in cli(place, "retry", "mine").stderr
        explained = cli(place, "explain", "mine", f"{site.url}/12").stdout
        assert "is recorded" in explained
        assert f"found on {site.url}/1" in explained
        assert "off_scope" in cli(place, "explain", "mine", "http://other.example/").stdout
        assert json.loads(cli(place, "health", "--json").stdout)["healthy"] is True
        assert "worker-1" in cli(place, "workers").stdout
        assert cli(place, "remove", "mine").returncode == 0
        assert cli(place, "job", "mine").returncode == 1
        events = cli(place, "events", "--json").stdout.splitlines()
        names = {json.loads(line)["event"] for line in events}
        assert {"jobWaiting", "workerActive", "pageCommitted", "workerCompleted"} <= names


def test_a_job_that_was_there_is_not_added_again_without_a_word(
    place: QueuePlace, site: Site
) -> None:
    first = cli(place, "submit", "single-page", f"{site.url}/1", "--job-id", "one")
    again = cli(place, "submit", "single-page", f"{site.url}/2", "--job-id", "one")
    assert (first.stdout, first.stderr) == (again.stdout, "")
    assert "there was a job one already" in again.stderr


def test_a_file_of_jobs_names_its_bad_lines_and_takes_the_others(
    place: QueuePlace, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.txt"
    file.write_text(
        "# comment\nhttp://127.0.0.1/a\nnot a url\n"
        '{"type": "full-crawl", "url": "http://127.0.0.1/b", "jobId": "b"}\n{"url": 5}\n'
    )
    done = cli(place, "submit", "--file", str(file))
    assert done.returncode == 2
    assert len(done.stdout.split()) == 2
    assert "line 2" in done.stderr
    assert "line 4" in done.stderr


def test_pausing_the_queue_stops_leasing_and_resuming_goes_on(
    place: QueuePlace, queue_reader: QueueReader, site: Site
) -> None:
    assert cli(place, "pause").returncode == 0
    cli(place, "submit", "single-page", f"{site.url}/1", "--job-id", "p")
    with running("supervisor", "run", "--workers", "1", env=place.env()):
        wait_until(lambda: workers_of(place) == ["worker-1"], what="a worker runs")
        assert json.loads(cli(place, "job", "p", "--json").stdout)["state"] == "waiting"
        cli(place, "resume")
        wait_until(lambda: queue_reader.has_ended("p"), what="the job ends")
        assert json.loads(cli(place, "job", "p", "--json").stdout)["state"] == "completed"
    assert site.hits["/1"] == 1


def test_ctrl_c_drains_keeps_what_was_fetched_and_exits_with_130(
    place: QueuePlace, tmp_path: Path
) -> None:
    out = tmp_path / "part.jsonl"
    with serve(default=tree(5000, delay_s=0.05)) as site:
        process = start("supervisor", "crawl", f"{site.url}/0", "--output", str(out),
                        env=place.env())  # fmt: skip
        wait_until(lambda: site.hits.total() > 20, what="the crawl runs")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
    lines = out.read_text().splitlines()
    assert len(lines) >= 20
    assert len({json.loads(line)["url"] for line in lines}) == len(lines)


def test_a_killed_supervisor_leaves_no_worker_and_the_next_one_goes_on_at_once(
    place: QueuePlace, queue_reader: QueueReader
) -> None:
    # Whoever waits for the end of a lease waits for longer than this test.
    env = place.env(SUPERVISOR_NAME=f"kill-{os.getpid()}", LEASE="600000")
    with serve(default=tree(120, delay_s=0.05)) as site:
        first = start("supervisor", "run", "--workers", "2", env=env)
        cli(place, "submit", "full-crawl", f"{site.url}/0", "--job-id", "k")
        wait_until(lambda: site.hits.total() > 20, what="the crawl runs")
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        first.wait(5)
        wait_until(lambda: not any(_alive(child) for child in children), 2, "no orphans")
        with running("supervisor", "run", "--workers", "2", env=env):
            wait_until(
                lambda: queue_reader.state("k") == "completed",
                60, "the job completes without waiting for leases to expire",
            )  # fmt: skip
        urls = [json.loads(line)["url"] for line in cli(place, "data", "k").stdout.splitlines()]
    assert sorted(urls) == sorted(f"{site.url}/{n}" for n in range(120))


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_help_names_every_command() -> None:
    done = run("supervisor", "--help", env=environment(None))
    named = set(re.findall(r"^  ([a-z]+) ", done.stdout, re.MULTILINE))
    assert {"run", "crawl", "scrape", "submit", "jobs", "job", "result", "data", "errors", "watch",
            "events", "cancel", "retry", "remove", "pause", "resume", "explain", "workers",
            "health", "check", "rejected"} <= named  # fmt: skip


def test_the_demonstration_site_is_crawled_without_a_url(tmp_path: Path) -> None:
    env = environment(None, DATA_DIR=str(tmp_path / "data"))
    out = tmp_path / "demo.jsonl"
    done = run("supervisor", "crawl", "--demo", "--output", str(out), env=env)
    assert done.returncode == 0, done.stderr
    titles = {json.loads(line)["title"] for line in out.read_text().splitlines()}
    assert "Guide" in titles
    assert sys.version_info >= (3, 11)


def test_a_running_service_is_scaled_restarted_and_drained_from_the_command_line(
    place: QueuePlace,
) -> None:
    env = place.env(SUPERVISOR_NAME=f"ordered-{os.getpid()}")

    assert "no supervisor is running" in cli(place, "scale", "2").stderr
    with running("supervisor", "run", "--workers", "1", env=env) as [service]:
        wait_until(lambda: workers_of(place) == ["worker-1"], what="a worker runs")
        done = cli(place, "scale", "2")
        assert done.returncode == 0, done.stderr
        both = ["worker-1", "worker-2"]
        wait_until(lambda: workers_of(place) == both, what="two workers run")
        shown = json.loads(cli(place, "workers", "--json").stdout)
        assert [worker["id"].rpartition("/")[2] for worker in shown] == both
        assert cli(place, "restart", "worker-2").returncode == 0
        unknown = cli(place, "restart", "worker-7")
        assert unknown.returncode == 1
        assert "worker-7" in unknown.stderr
        assert "drains" in cli(place, "drain").stderr
        assert service.wait(30) == 0
    assert json.loads(cli(place, "workers", "--json").stdout) == []
