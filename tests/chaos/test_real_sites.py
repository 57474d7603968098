"""A full crawl of a real site records exactly what an independent crawler reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.doc_packages import (
    APACHE,
    BOOST,
    GIT,
    JAVA,
    POSTGRESQL,
    PYTHON,
    SQLITE,
    DocSite,
    site_root,
)
from tests.chaos.fleet import fleet
from tests.chaos.independent_crawl import Found, wget_crawl
from tests.chaos.queue_reader import QueueReader
from tests.chaos.scale import full_only
from tests.chaos.static_sites import serve_folder
from tests.integration.conftest import QueuePlace
from tests.support.processes import wait_until

SITES = [
    pytest.param(GIT, id="git-doc"),
    pytest.param(APACHE, id="apache2-doc", marks=full_only),
    pytest.param(SQLITE, id="sqlite3-doc", marks=full_only),
    pytest.param(POSTGRESQL, id="postgresql-doc-15", marks=full_only),
    pytest.param(PYTHON, id="python3.11-doc", marks=full_only),
    pytest.param(BOOST, id="libboost1.74-doc", marks=full_only),
    pytest.param(JAVA, id="openjdk-17-doc", marks=full_only),
]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.timeout(600)
def test_a_full_crawl_records_what_wget_reaches(
    site: DocSite, place: QueuePlace, queue: QueueReader, tmp_path: Path
) -> None:
    root = site_root(site)
    with serve_folder(root, tmp_path / "server") as base:
        start_url = base + site.start
        job = {"type": "full-crawl", "url": start_url, "jobId": "real", "maxPages": 100_000}
        with fleet(place.env()):
            queue.push({**job, "ownSite": True})
            wait_until(lambda: queue.has_ended("real"), 300, "the crawl ends")
        found = wget_crawl(start_url, tmp_path / "wget")
    compare(queue, found, site, base)


def compare(queue: QueueReader, found: Found, site: DocSite, base: str) -> None:
    """The job `real` against the independent crawl."""
    ours = {base + path for path in site.only_ours}
    wgets = {base + path for path in site.only_wgets}
    assert queue.state("real") == "completed"
    queue.assert_exactly_once("real")
    queue.assert_conserved("real")
    recorded = set(queue.recorded("real"))
    assert recorded - found.fetched == ours & recorded, "we recorded what wget did not reach"
    assert found.fetched - recorded == wgets & found.fetched, "wget reached what we did not record"
    statuses = {url: error["status"] for url, error in queue.errors("real").items()}
    refused = found.refused.items()
    assert statuses.items() - refused == {it for it in statuses.items() if it[0] in ours}
    assert refused - statuses.items() == {it for it in refused if it[0] in wgets}
    different = recorded ^ found.fetched | {url for url, _ in statuses.items() ^ refused}
    print(f"{site.package}: {len(recorded)} pages, {len(statuses)} refused, differing: {different}")
