"""`python -m benchmarks MODE`: run the contenders side by side and print one table."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contenders.registry import BASELINES, contenders, names
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Row, rows
from benchmarks.plan import ExtractionProfile, Mode
from benchmarks.rounds import Benchmark, Measurement, load_average, run_rounds, without_latencies
from benchmarks.sites.debian import PACKAGES, debian_site
from benchmarks.sites.site import Site
from benchmarks.sites.synthetic import SMALLEST, synthetic_site
from benchmarks.table import table
from benchmarks.web_server import serve

RESULTS = Path(__file__).parent / "results"
PAGES = {Mode.FULL_CRAWL: 5_000, Mode.SINGLE_PAGE: 3_000, Mode.LATENCY: 20, Mode.MEMORY: 5_000}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("mode", nargs="?", choices=list(Mode), default=Mode.FULL_CRAWL, type=Mode)
    parser.add_argument("--pages", type=int, help="pages of the synthetic site, jobs, or URLs")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--contenders", default="", help=f"of {', '.join(names())}, by comma")
    parser.add_argument("--baseline", help="what the others are compared with")
    parser.add_argument(
        "--profile",
        choices=list(ExtractionProfile),
        default=ExtractionProfile.LINKS,
        type=ExtractionProfile,
    )
    parser.add_argument("--site", default="synthetic", choices=["synthetic", *PACKAGES])
    parser.add_argument("--seed", type=int, default=1, help="of the synthetic site")
    parser.add_argument("--deadline", type=float, default=900.0, help="seconds a run may take")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--save", action="store_true", help="keep them in benchmarks/results/")
    return parser.parse_args(arguments)


def _site(chosen: argparse.Namespace, pages: int) -> Site:
    if chosen.site != "synthetic":
        return debian_site(chosen.site)
    if chosen.mode is Mode.FULL_CRAWL or pages > PAGES[Mode.FULL_CRAWL]:
        return synthetic_site(pages, chosen.seed)
    return synthetic_site(max(pages, SMALLEST), chosen.seed)


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """All rounds; what was run, the rows, and each measurement."""
    mode: Mode = chosen.mode
    taking_part = contenders(mode, [name for name in chosen.contenders.split(",") if name])
    baseline = chosen.baseline or BASELINES[mode]
    site = _site(chosen, chosen.pages or PAGES[mode])
    pages = len(site.paths) if mode is Mode.FULL_CRAWL else chosen.pages or PAGES[mode]
    started, load_before = time.monotonic(), load_average()
    measurements: list[Measurement] = []
    with serve(site.folder) as origin:
        benchmark = Benchmark(mode, chosen.profile, site, origin, pages, chosen.deadline)
        for measurement in run_rounds(benchmark, taking_part, chosen.rounds):
            measurements.append(measurement)
            _progress(measurement, chosen.rounds)
    return {
        "mode": mode,
        "profile": chosen.profile,
        "site": site.name,
        "meanPageBytes": site.mean_page_bytes,
        "meanLinks": round(site.mean_links, 1),
        "duplicateLinks": round(site.duplicate_links, 3),
        "baseline": baseline,
        "rounds": chosen.rounds,
        "startedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load before {load_before:.1f}",
        "rows": rows(measurements, mode, baseline),
        "measurements": measurements,
    }


def _progress(measurement: Measurement, rounds: int) -> None:
    turn = f"round {measurement.round} of {rounds}" if measurement.round else "counting round"
    what = f"{measurement.report.cpu_s:.2f} CPU-s, speed {measurement.speed:.2f}"
    print(f"{turn}: {measurement.contender}: {what}", file=sys.stderr, flush=True)


def _as_json(outcome: dict[str, Any]) -> str:
    kept = [asdict(without_latencies(item)) for item in outcome["measurements"]]
    rows_json = [asdict(row) for row in outcome["rows"]]
    return json.dumps({**outcome, "rows": rows_json, "measurements": kept}, indent=1)


def _as_text(outcome: dict[str, Any]) -> str:
    found: list[Row] = outcome["rows"]
    return (
        f"{outcome['mode']}, profile {outcome['profile']}, {outcome['site']}: "
        f"{outcome['meanPageBytes']:,} bytes and {outcome['meanLinks']} links a page, "
        f"{outcome['duplicateLinks']:.1%} of the links to known pages\n"
        f"{outcome['rounds']} rounds, ratios to {outcome['baseline']} in the same round; "
        f"{outcome['machine']}\n\n{table(found)}"
    )


def main() -> int:
    if sys.argv[1:2] == ["extraction"]:
        # A table of its own: it measures quality and needs no server.
        from benchmarks import extraction

        try:
            return extraction.main(sys.argv[2:])
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    chosen = options()
    try:
        outcome = run(chosen)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(_as_json(outcome) if chosen.json else _as_text(outcome))
    if chosen.save:
        RESULTS.mkdir(exist_ok=True)
        day = outcome["startedAt"][:10]
        file = RESULTS / f"{day}-{outcome['mode']}-{outcome['profile']}.json"
        file.write_text(_as_json(outcome) + "\n")
        print(f"saved in {file}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
