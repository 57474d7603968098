"""The job types: the file names in `scraper/spiders/`."""

from pathlib import Path


def job_types() -> frozenset[str]:
    """The names of all job types (`full_crawl.py` is `full-crawl`), without importing a spider."""
    folder = Path(__file__).parents[1] / "spiders"
    return frozenset(
        path.stem.replace("_", "-") for path in folder.glob("*.py") if not path.stem.startswith("_")
    )
