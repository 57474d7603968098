"""Counts what is in page records, to prove that a contender extracted what it was asked for."""

from collections.abc import Mapping
from typing import Any

_PRESENT = {
    "titles": "title",
    "descriptions": "description",
    "canonicals": "canonical",
    "languages": "language",
}
_LENGTH = {
    "headings": "headings",
    "open_graph": "openGraph",
    "images": "images",
    "json_ld": "jsonLd",
}


class TallyCount:
    """Running counts with the names of `benchmarks.sites.site.Tally`."""

    def __init__(self, *, is_crawl: bool) -> None:
        """`is_crawl`: a URL that comes again is not counted again.

        Scrapy does not filter start requests, so that it fetches the start page twice.
        """
        self.pages = 0
        self._seen: set[str] | None = set() if is_crawl else None
        self._counts = dict.fromkeys((*_PRESENT, *_LENGTH, "internal_links", "external_links"), 0)

    def take(self, record: Mapping[str, Any]) -> None:
        """Count one page record."""
        if self._seen is not None:
            if record["url"] in self._seen:
                return
            self._seen.add(record["url"])
        self.pages += 1
        counts = self._counts
        for name, field in _PRESENT.items():
            counts[name] += bool(record.get(field))
        for name, field in _LENGTH.items():
            counts[name] += len(record.get(field) or ())
        links = record["links"]
        counts["internal_links"] += len(links["internal"])
        counts["external_links"] += len(links["external"])

    def as_dict(self) -> dict[str, int]:
        return dict(self._counts)
