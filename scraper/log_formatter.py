"""Keeps Scrapy from logging a line for each page and each item."""

from __future__ import annotations

from typing import Any

from scrapy import logformatter


class QuietLogFormatter(logformatter.LogFormatter):
    """No line for what went well: events and counts tell that."""

    def crawled(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        return None

    def scraped(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        return None
