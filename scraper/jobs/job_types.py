"""The job types: the file names in `scraper/spiders/`."""

from importlib.resources import files


def job_types() -> frozenset[str]:
    """The names of all job types (`full_crawl.py` is `full-crawl`), without importing a spider."""
    names = (it.name for it in files("scraper").joinpath("spiders").iterdir())
    return frozenset(
        name.removesuffix(".py").replace("_", "-")
        for name in names
        if name.endswith(".py") and not name.startswith("_")
    )
