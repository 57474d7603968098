"""Workers and supervisors are killed with -9 in mid-crawl: nothing missing, nothing twice."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.doc_packages import GIT, POSTGRESQL, site_root
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.independent_crawl import wget_crawl
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import by_scale, seeded
from tests.chaos.static_sites import folder_answers, serve_folder
from tests.integration.conftest import QueuePlace
from tests.support.processes import wait_until
from tests.support.site import Site, serve

WORKERS = 2
PAGES_IN_FLIGHT = 16  # of a worker; by turboMode also of the host, over all workers
WORKER_KILLS, SUPERVISOR_KILLS = by_scale((3, 1), (20, 5))
SITE = by_scale(GIT, POSTGRESQL)
DELAY_S = by_scale(0.25, 0.75)
CRAWL_WITHIN_S = by_scale(90, 400)


@pytest.mark.timeout(CRAWL_WITHIN_S + 60)
def test_a_crawl_under_kills_records_each_page_once(
    place: QueuePlace, queue: QueueReader, tmp_path: Path
) -> None:
    rng, how_to_repeat = seeded()
    root = site_root(SITE)
    with serve_folder(root, tmp_path / "server") as base:
        found = wget_crawl(base + SITE.start, tmp_path / "wget")
    expected = {url.removeprefix(base) for url in found.fetched}
    refused = {url.removeprefix(base): status for url, status in found.refused.items()}
    pages = len(expected) + len(refused)
    kills = ["worker"] * WORKER_KILLS + ["supervisor"] * SUPERVISOR_KILLS
    rng.shuffle(kills)
    moments = sorted(rng.uniform(0.02, 0.92) * pages for _ in kills)

    with serve(default=folder_answers(root, DELAY_S)) as site, fleet(place.env(), WORKERS) as run:
        job = {"type": "full-crawl", "jobId": "kills", "maxPages": 100_000, "turboMode": True}
        queue.push({**job, "url": site.url + SITE.start})
        began_s = time.monotonic()
        for moment, victim in zip(moments, kills, strict=True):
            wait_until(partial(queue.has_done, "kills", moment), 120, f"goes on; {how_to_repeat}")
            assert not queue.has_ended("kills"), f"killed in mid-crawl; {how_to_repeat}"
            kill(run, victim, rng)
        wait_until(
            lambda: queue.has_ended("kills"), CRAWL_WITHIN_S, f"the job ends; {how_to_repeat}"
        )
        took_s = time.monotonic() - began_s
        assert run.terminate() == 0

    assert queue.state("kills") == "completed", how_to_repeat
    queue.assert_exactly_once("kills")
    queue.assert_conserved("kills")
    recorded = {url.removeprefix(site.url) for url in queue.recorded("kills")}
    assert recorded == expected, how_to_repeat
    errors = {url.removeprefix(site.url): e["status"] for url, e in queue.errors("kills").items()}
    assert errors == refused, how_to_repeat
    check_repeats(site, run, took_s, how_to_repeat)


def kill(run: Fleet, victim: str, rng: random.Random) -> None:
    if victim == "worker":
        run.kill_worker(rng)
    else:
        run.kill_supervisor()
        run.respawn()


def check_repeats(site: Site, run: Fleet, took_s: float, how_to_repeat: str) -> None:
    """Only what was in flight at a kill is fetched again."""
    repeats = site.hits.total() - len(site.hits)
    # A supervisor takes its workers along; by turboMode the host has one worker's pages at most.
    bound = (run.worker_kills + run.supervisor_kills) * PAGES_IN_FLIGHT
    print(
        f"{len(site.hits)} pages, {run.worker_kills} worker and {run.supervisor_kills} supervisor "
        f"kills, {repeats} fetches repeated (at most {bound}), {took_s:.1f} s; {how_to_repeat}"
    )
    assert repeats <= bound, how_to_repeat


@pytest.mark.timeout(90)
def test_workers_that_are_still_starting_end_with_their_supervisor(place: QueuePlace) -> None:
    with fleet(place.env(), workers=4) as run:
        wait_until(lambda: len(run.workers) == 4, 60, "workers are started")
        for _ in range(by_scale(1, 20)):
            run.kill_supervisor()
            run.respawn()
            wait_until(lambda: run.workers, 60, "a worker is started")
