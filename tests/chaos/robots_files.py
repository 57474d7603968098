"""Real robots.txt files: those that Protego's source package carries, kept in the user's cache."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from robotstxt import RobotsMatcher

from scraper.network.robots_rules import MAX_ROBOTS_BYTES
from tests.chaos.doc_packages import cache_dir
from tests.chaos.scale import unavailable

USER_AGENT_TOKEN = "ScraperWorkers"
PATHS_JUDGED = 30
_RULE = re.compile(r"(?im)^[ \t]*(?:dis)?allow[ \t]*:[ \t]*([^#\s]+)")
# What our canonical form of URLs leaves as it is.
_PLAIN = re.compile(r"/[A-Za-z0-9_.~/-]*[A-Za-z0-9_.~-](?:/|\?[A-Za-z0-9_=-]+)?")


@dataclass(frozen=True, slots=True)
class RealRobots:
    """A site's file, and paths of the site that Google's own parser forbids and allows."""

    site: str
    body: bytes
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...]


def real_robots(rng: random.Random, files: int) -> list[RealRobots]:
    """That many files, each of which forbids something, with up to 6 and 2 paths of their own."""
    paths = sorted(_unpacked().iterdir())
    rng.shuffle(paths)
    found: list[RealRobots] = []
    for path in paths:
        if len(found) == files:
            break
        robots = _judged(path.name, path.read_bytes(), rng)
        if robots.forbidden:
            found.append(robots)
    assert len(found) == files
    return found


def _judged(site: str, body: bytes, rng: random.Random) -> RealRobots:
    text = body[:MAX_ROBOTS_BYTES].decode("utf-8-sig", "replace")
    paths = {_path_of(pattern, rng) for pattern in _RULE.findall(text)}
    verdicts: dict[bool, list[str]] = {True: [], False: []}
    matcher = RobotsMatcher()
    candidates = sorted(filter(_PLAIN.fullmatch, paths))
    # The matcher reads the whole file for each path.
    for path in rng.sample(candidates, min(len(candidates), PATHS_JUDGED)):
        allowed = matcher.is_allowed(text, USER_AGENT_TOKEN, f"http://site.test{path}")
        verdicts[allowed].append(path)
    for found in verdicts.values():
        rng.shuffle(found)
    return RealRobots(site, body, tuple(verdicts[False][:6]), tuple(verdicts[True][:2]))


def _path_of(pattern: str, rng: random.Random) -> str:
    """A path that a rule is about, or nearly so."""
    parts = pattern.removesuffix("$").split("*")
    path = "".join(part + rng.choice(("", "x", "a/b")) for part in parts[:-1]) + parts[-1]
    return f"/{path.lstrip('/')}{rng.choice(('', '', 'more'))}"


def _unpacked() -> Path:
    """The folder with the files; its package is downloaded when it is not there."""
    folder = cache_dir() / f"protego-{version('protego')}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        download = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:",
             "--no-deps", "--dest", scratch, f"protego=={version('protego')}"],
            capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip
        sources = list(Path(scratch).glob("*.tar.gz"))
        if not sources:
            unavailable(f"pip download protego: {download.stderr.strip()[-300:]}")
        made = Path(scratch) / "files"
        made.mkdir()
        with tarfile.open(sources[0]) as archive:
            for member in archive:
                if member.isfile() and "/tests/test_data/" in member.name:
                    content = archive.extractfile(member)
                    assert content is not None
                    (made / Path(member.name).name).write_bytes(content.read())
        try:
            made.rename(folder)
        except OSError:
            # Another test process was quicker; its files are the same.
            assert folder.is_dir()
    return folder
