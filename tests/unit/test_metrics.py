"""Metrics are what Prometheus reads, and what the rules and the dashboard ask for exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from scraper.jobs import QueueCounts
from scraper.jobs.backlog import Backlog
from scraper.jobs.measures import HISTOGRAMS, JOB_BOUNDS, Histogram, Measured, Measures
from supervisor.http.metrics import Readings, render, render_down
from tests.chaos.doc_packages import tool
from tests.support.promtool import complaints

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "scraper-workers.json"

WORKER = {
    "id": 'a"b/worker-1', "state": "running", "pid": 1, "jobs": [], "pages": 3,
    "memoryBytes": 10**8, "memoryLimitBytes": 2**30, "restarts": 2, "ageS": 3.0, "lastExit": None,
}  # fmt: skip


def readings() -> Readings:
    return Readings(
        queue="q",
        counts=QueueCounts(
            by_state={"waiting": 1, "active": 2}, workers=1, rejected=0, is_paused=False,
            totals={"jobs_submitted": 3, "jobs_completed": 1},
        ),
        backlog=Backlog(pages=7, lanes=2, waiting_hosts=1),
        measured=Measured(
            {name: Histogram(bounds) for name, bounds in HISTOGRAMS.items()}, {"done": 5}
        ),
        reports=[{"name": "s", "workers": [WORKER], "health": {"healthy": True}, "loopLagMs": 2.5}],
        redis_latency_s=0.001,
        redis_memory={"used_memory": 1, "maxmemory": 2},
        oldest_waiting_s=1.0,
        event_lag_s=0.01,
        event_streams=1,
        requests={"2xx": 4},
    )  # fmt: skip


def test_counts_fall_into_their_buckets_and_are_taken_once() -> None:
    measures = Measures()
    for seconds in (0.0, 0.01, 0.011, 31.0):
        measures.fetch.observe(seconds)
    measures.ended("done")
    measures.ended("done")
    assert measures.take() == {
        "pages|done": 2, "fetch|0": 2, "fetch|1": 1, "fetch|11": 1, "fetch|ms": 31021,
    }  # fmt: skip
    assert measures.take() == {}


def test_the_scripts_have_the_bounds_of_the_readers() -> None:
    script = (ROOT / "scraper/jobs/lua/shared/jobs.lua").read_text("utf-8")
    [bounds] = re.findall(r"JOB_BOUNDS = \{([^}]*)\}", script)
    assert [int(text) / 1000 for text in bounds.split(",")] == list(JOB_BOUNDS)


def test_histograms_add_up() -> None:
    it = readings()
    for seconds in (0.3, 0.4, 700.0, 9999.0):
        it.measured.histograms["job"].observe(seconds)
    text = render(it).decode()
    assert 'scraper_job_seconds_bucket{le="0.5",queue="q"} 2.0' in text
    assert 'scraper_job_seconds_bucket{le="3600",queue="q"} 3.0' in text
    assert 'scraper_job_seconds_bucket{le="+Inf",queue="q"} 4.0' in text
    assert 'scraper_job_seconds_count{queue="q"} 4.0' in text


@pytest.mark.parametrize("text", [render(readings()), render_down("q")], ids=["up", "down"])
def test_promtool_finds_nothing_wrong(text: bytes) -> None:
    assert complaints(text) == ""


def test_promtool_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    token = tmp_path / "token"
    token.write_text("x")
    text = CONFIG.read_text().replace("/etc/prometheus/scraper-token", str(token))
    (tmp_path / "prometheus.yml").write_text(text)
    done = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 rules found" in done.stdout


def names_told() -> set[str]:
    return set(re.findall(r"^(scraper_\w+)", render(readings()).decode(), re.MULTILINE))


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=["rules", "dashboard"])
def test_every_metric_asked_for_exists(path: Path) -> None:
    asked = set(re.findall(r"\bscraper_\w+", path.read_text()))
    assert asked - names_told() == set()
    assert asked


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    used = set(re.findall(r"\bscraper_\w+", RULES.read_text() + DASHBOARD.read_text()))
    told = {re.sub(r"_(bucket|count|sum)$", "_bucket", name) for name in names_told()}
    left_out = {"scraper_build_info", "scraper_supervisor_healthy", "scraper_pushes_rejected_total",
                "scraper_jobs_submitted_total", "scraper_worker_pages",
                "scraper_supervisor_loop_lag_seconds"}  # fmt: skip
    assert told - used == left_out


def test_panels_of_the_dashboard_do_not_lie_on_each_other() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
