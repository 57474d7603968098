"""Packs the spiders as an egg for scrapyd: `scrapyd-deploy` calls this. Nothing else needs it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r'^VERSION = "(.+)"', Path("scraper/jobs/version.py").read_text(), re.MULTILINE)
assert VERSION is not None

setup(
    name="scraper-workers",
    version=VERSION[1],
    packages=find_packages(include=["scraper", "scraper.*"]),
    package_data={"scraper.jobs": ["lua/*.lua", "lua/shared/*.lua", "presets.toml"]},
    entry_points={"scrapy": ["settings = scraper.settings"]},
)
