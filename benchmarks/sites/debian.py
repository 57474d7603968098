"""A real site: the HTML manual in one of Debian's -doc packages."""

import json
import shutil
import subprocess
from collections import deque
from pathlib import Path
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser
from w3lib.url import canonicalize_url

from benchmarks.cache import cached
from benchmarks.errors import BenchmarkError, MissingProgramError
from benchmarks.sites.site import Site

# The folder to serve and the page to start from.
PACKAGES = {
    "postgresql-doc-15": ("usr/share/doc/postgresql-doc-15/html", "/index.html"),
    "python3.11-doc": ("usr/share/doc/python3.11/html", "/index.html"),
    "git-doc": ("usr/share/doc/git", "/html/index.html"),
}
_ORIGIN = "http://site.invalid"


def debian_site(package: str) -> Site:
    """The manual of `package`, downloaded and unpacked at the first call, never installed."""
    if package not in PACKAGES:
        raise BenchmarkError(f"no such site: {package} (there are {', '.join(PACKAGES)})")
    root, start = PACKAGES[package]
    folder = cached(f"sites/{package}", lambda draft: _unpack(draft, package, root, start))
    facts = json.loads((folder / "facts.json").read_text())
    return Site(package, folder / root, tally=None, **facts)


def _unpack(folder: Path, package: str, root: str, start: str) -> None:
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise MissingProgramError(program, program.split("-")[0])
    done = subprocess.run(
        ["apt-get", "download", package], cwd=folder, capture_output=True, text=True, check=False
    )
    archives = list(folder.glob("*.deb"))
    if done.returncode or not archives:
        raise BenchmarkError(f"apt-get download {package} failed: {done.stderr.strip()}")
    subprocess.run(["dpkg", "-x", archives[0], folder], check=True)
    archives[0].unlink()
    (folder / "facts.json").write_text(json.dumps(_walk(folder / root, start)))


def _walk(root: Path, start: str) -> dict[str, object]:
    """Follow the links from file to file, with no contender's code, to know the pages."""
    first = _ORIGIN + start
    seen, queue, paths, size, links = {first}, deque([first]), [], 0, 0
    while queue:
        url = queue.popleft()
        file = root / url.removeprefix(_ORIGIN).partition("?")[0].lstrip("/")
        if file.is_dir():
            file = file / "index.html"
        if not file.is_file() or file.suffix not in {".html", ".htm"}:
            continue
        paths.append(url.removeprefix(_ORIGIN))
        size += file.stat().st_size
        found = _links(url, file.read_bytes())
        links += len(found)
        fresh = found - seen
        seen |= fresh
        queue.extend(sorted(fresh))
    return {
        "paths": paths,
        "mean_page_bytes": size // len(paths),
        "mean_links": links / len(paths),
        "duplicate_links": 1 - len(seen) / links,
    }


def _links(url: str, html: bytes) -> set[str]:
    found = set()
    for anchor in LexborHTMLParser(html).css("a[href], area[href]"):
        target = canonicalize_url(urljoin(url, (anchor.attributes["href"] or "").strip()))
        if target.startswith(_ORIGIN + "/"):
            found.add(target)
    return found
