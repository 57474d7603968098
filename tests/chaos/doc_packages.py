"""Real sites: Debian's documentation packages, unpacked once into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.scale import unavailable


@dataclass(frozen=True, slots=True)
class DocSite:
    """A package whose folder `root` is a site; `start` is the path of its first page.

    `only_ours` and `only_wgets` are paths that one crawler reaches and the other does not, for the
    reasons that docs/crawling.md gives.
    """

    package: str
    root: str
    start: str = "/index.html"
    only_ours: frozenset[str] = frozenset()
    only_wgets: frozenset[str] = frozenset()


APACHE = DocSite("apache2-doc", "usr/share/doc/apache2-doc/manual", "/en/index.html")
# <a href="\">: browsers, and the URL Standard, read a backslash as a slash; wget as a character.
SQLITE = DocSite(
    "sqlite3-doc",
    "usr/share/doc/sqlite3",
    only_ours=frozenset(("/",)),
    only_wgets=frozenset(("/%5C",)),
)
GIT = DocSite("git-doc", "usr/share/doc/git-doc")
POSTGRESQL = DocSite("postgresql-doc-15", "usr/share/doc/postgresql-doc-15/html")
# <a href="operator%.html">: browsers, and the URL Standard, leave a lone % as it is, which nginx
# refuses; wget escapes it.
BOOST = DocSite(
    "libboost1.74-doc",
    "usr/share/doc/libboost1.74-doc/doc/html",
    only_ours=frozenset(("/boost/yap/operator%.html",)),
    only_wgets=frozenset(("/boost/yap/operator%25.html",)),
)
JAVA = DocSite("openjdk-17-doc", "usr/share/doc/openjdk-17-jre-headless/api")
PYTHON = DocSite("python3.11-doc", "usr/share/doc/python3.11/html")


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/scraper-workers-tests`."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "scraper-workers-tests"


def unpacked(package: str) -> Path:
    """The folder with the package's files; downloaded and unpacked when it is not there.

    Skips the test where apt-get is missing or has no such package, fails it in CI.
    """
    folder = cache_dir() / package
    if folder.is_dir():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        unavailable(f"{package} is not in {folder}, and there is no apt-get to get it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        download = subprocess.run(
            ["apt-get", "-o", "APT::Sandbox::User=", "download", package],
            cwd=scratch, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        debs = list(Path(scratch).glob("*.deb"))
        if not debs:
            unavailable(f"apt-get download {package}: {download.stderr.strip()[-300:]}")
        made = Path(scratch) / "files"
        subprocess.run(["dpkg", "-x", str(debs[0]), str(made)], check=True, timeout=60)
        try:
            made.rename(folder)
        except OSError:
            # Another test process was quicker; its files are the same.
            assert folder.is_dir()
    return folder


def site_root(site: DocSite) -> Path:
    """The folder to serve."""
    return unpacked(site.package) / site.root


def tool(name: str, package: str) -> str:
    """A command of the machine, else of its Debian package in the cache."""
    return shutil.which(name) or str(unpacked(package) / "usr" / "bin" / name)
