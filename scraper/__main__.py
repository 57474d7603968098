"""`python -m scraper work` is `scrapy work`, bound to its supervisor before Scrapy is imported."""

from __future__ import annotations

import sys

from scraper import lifeline

if __name__ == "__main__":
    lifeline.hold()
    from scrapy.cmdline import execute

    execute(["scrapy", *sys.argv[1:]])
