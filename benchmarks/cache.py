"""Where generated sites and installed peers are kept between runs: outside of the repository."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/scraper-workers/benchmarks`, or the same under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "scraper-workers" / "benchmarks"


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `build(folder)` when it is not there yet.

    It appears whole or not at all: `build` works in a folder beside it, which is then renamed.
    """
    target = cache_folder() / name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    draft.chmod(0o755)
    try:
        build(draft)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.exists():
            raise
    return target
