"""The benchmark harness: the same site for the same seed, right ratios, no figures without work."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.command_monitor import ClientCommands
from benchmarks.errors import BenchmarkError, WrongWorkError
from benchmarks.figures import rows
from benchmarks.plan import ExtractionProfile, Mode, Report
from benchmarks.rounds import Benchmark, Measurement, check_work
from benchmarks.sites.site import Site, Tally
from benchmarks.sites.synthetic import synthetic_site
from benchmarks.table import table
from benchmarks.workers.slim_fields import slim_record
from benchmarks.workers.tally import TallyCount


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    return synthetic_site(60, seed=7)


def pages_of(site: Site) -> dict[str, bytes]:
    return {path: (site.folder / (path[1:] or "index.html")).read_bytes() for path in site.paths}


def tally_of(site: Site) -> TallyCount:
    count = TallyCount(is_crawl=True)
    for path, html in pages_of(site).items():
        count.take(slim_record(html, f"http://127.0.0.1:43210{path}", 200, is_full=True))
    return count


def benchmark_of(site: Site, profile: ExtractionProfile) -> Benchmark:
    return Benchmark(Mode.FULL_CRAWL, profile, site, "http://127.0.0.1:1", len(site.paths), 60)


def run(contender: str, number: int, cpu_s: float, speed: float = 1.0) -> Measurement:
    report = Report(pages=100, cpu_s=cpu_s, wall_s=1)
    return Measurement(contender, number, report, speed, None, None)


def test_the_same_seed_gives_the_same_site(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    assert pages_of(synthetic_site(60, seed=7)) == pages_of(site)
    assert synthetic_site(60, seed=8).paths != site.paths


def test_pages_hold_what_the_site_says_that_they_hold(site: Site) -> None:
    count = tally_of(site)
    assert count.pages == 60
    assert count.as_dict() == {name: getattr(site.tally, name) for name in Tally.keys_of("full")}


def test_every_page_can_be_reached_from_the_first(site: Site) -> None:
    origin, html = "http://127.0.0.1:43210", pages_of(site)
    seen, waiting = {"/"}, ["/"]
    while waiting:
        path = waiting.pop()
        record = slim_record(html[path], origin + path, 200, is_full=False)
        found = {link["url"].removeprefix(origin) for link in record["links"]["internal"]}
        waiting.extend(found - seen)
        seen |= found
    assert seen == set(site.paths)


def test_pages_are_of_about_20_kb_with_40_links_and_urls_of_60_characters(site: Site) -> None:
    assert 18_000 < site.mean_page_bytes < 24_000
    assert site.mean_links == 40
    urls = [f"http://127.0.0.1:43210{path}" for path in site.paths[1:]]
    assert 58 < sum(map(len, urls)) / len(urls) < 62


def test_a_site_too_small_for_its_links_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="at least 50 pages"):
        synthetic_site(10)


def test_work_that_was_done_passes(site: Site) -> None:
    report = Report(pages=60, cpu_s=1, wall_s=1, tally=tally_of(site).as_dict())
    check_work(benchmark_of(site, ExtractionProfile.FULL), "peer", report)


@pytest.mark.parametrize("missing", ["pages", *Tally.keys_of("links")])
def test_work_with_anything_missing_gives_no_figures(site: Site, missing: str) -> None:
    report = Report(pages=60, cpu_s=1, wall_s=1, tally=tally_of(site).as_dict())
    if missing == "pages":
        report = replace(report, pages=59)
    else:
        report.tally[missing] -= 1
    with pytest.raises(WrongWorkError, match=f"peer: {missing} should be"):
        check_work(benchmark_of(site, ExtractionProfile.LINKS), "peer", report)


def test_a_page_recorded_twice_in_a_crawl_counts_once() -> None:
    count = TallyCount(is_crawl=True)
    record = {"url": "http://a/", "title": "A", "links": {"internal": [], "external": []}}
    count.take(record)
    count.take(record)
    assert (count.pages, count.as_dict()["titles"]) == (1, 1)


def test_ratios_are_paired_within_a_round_and_leave_the_counting_round_out() -> None:
    measurements = [
        run("base", 0, 99.0), run("peer", 0, 1.0),
        run("base", 1, 2.0), run("peer", 1, 1.0),
        run("base", 2, 40.0), run("peer", 2, 10.0),
        run("base", 3, 6.0), run("peer", 3, 2.0),
    ]  # fmt: skip
    base, peer = rows(measurements, Mode.FULL_CRAWL, "base")
    assert (peer.ratio, peer.ratio_low, peer.ratio_high) == (3.0, 2.0, 4.0)
    assert (base.ratio, base.rounds) == (1.0, 3)


def test_cpu_time_of_a_machine_twice_as_fast_counts_double() -> None:
    measurements = [run("base", 1, 2.0, speed=1.0), run("peer", 1, 1.0, speed=2.0)]
    assert [row.ratio for row in rows(measurements, Mode.FULL_CRAWL, "base")] == [1.0, 1.0]


def test_columns_that_nobody_fills_are_left_out() -> None:
    text = table(rows([run("base", 1, 2.0)], Mode.FULL_CRAWL, "base"))
    assert "pages/CPU-s" in text
    assert "bytes/URL" not in text


def test_commands_of_scripts_and_of_the_harness_are_not_client_commands() -> None:
    counts = ClientCommands()
    counts.is_counting = True
    for line in (
        b"+OK\r\n",
        b'+1700000000.1 [0 127.0.0.1:1] "EVALSHA" "abc" "0"\r\n',
        b'+1700000000.2 [0 lua] "HSET" "k" "f" "v] "\r\n',
        b'+1700000000.3 [0 127.0.0.1:2] "INFO" "cpu"\r\n',
        b'+1700000000.4 [0 unix:/tmp/s] "get" "k"\r\n',
    ):
        counts.take(line)
    assert counts.calls == {"evalsha": 1, "get": 1}
