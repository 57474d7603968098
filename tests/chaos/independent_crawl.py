"""What another crawler finds: GNU wget, its log read, its URLs in our canonical form."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scraper.scope import canonical_url
from tests.chaos.doc_packages import tool

# `a`, `area` and <meta http-equiv=refresh> are what a full crawl follows. `base` is no link: wget
# would not read <base href> without it. It leaves no host without --span-hosts.
OPTIONS = (
    "--recursive", "--level=inf", "--execute=robots=off", "--follow-tags=a,area,base,meta",
    "--no-verbose", "--no-proxy", "--no-hsts", "--tries=2", "--timeout=20",
)  # fmt: skip

_FETCHED = re.compile(r"^\S+ \S+ URL:(\S+) \[")
_FAILED = re.compile(r"^\S+ \S+ ERROR (\d{3})")
_FAILED_URL = re.compile(r"^(https?://\S+):$")


@dataclass(frozen=True, slots=True)
class Found:
    """Canonical URLs that were answered with 200, and those that were not with their status."""

    fetched: frozenset[str]
    refused: dict[str, int]


def wget_crawl(start_url: str, scratch: Path, timeout_s: float = 300) -> Found:
    """Crawl a site with wget."""
    scratch.mkdir(parents=True, exist_ok=True)
    log = scratch / "wget.log"
    done = subprocess.run(
        [tool("wget", "wget"), *OPTIONS, "-o", str(log), "-P", str(scratch / "site"), start_url],
        check=False, capture_output=True, timeout=timeout_s,
    )  # fmt: skip
    assert done.returncode in (0, 8), log.read_text()[-2000:]  # 8: the server refused some
    return read_log(log.read_text("utf-8", "replace"))


def read_log(log: str) -> Found:
    """The outcome of each URL of a log written with --no-verbose."""
    fetched: set[str] = set()
    refused: dict[str, int] = {}
    asked = ""
    for line in log.splitlines():
        if match := _FETCHED.match(line):
            fetched.add(canonical_url(match[1]))
        elif match := _FAILED_URL.match(line):
            asked = canonical_url(match[1])
        elif match := _FAILED.match(line):
            refused[asked] = int(match[1])
    return Found(frozenset(fetched), refused)
