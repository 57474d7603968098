"""A site to crawl: its files, its start, and what is known about it beforehand."""

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tally:
    """What a right extraction finds over all pages of a site.

    Links are counted once a page. `images` and `json_ld` are extracted in the full profile only.
    """

    titles: int
    descriptions: int
    canonicals: int
    languages: int
    headings: int
    open_graph: int
    internal_links: int
    external_links: int
    images: int
    json_ld: int

    @classmethod
    def keys_of(cls, profile: str) -> list[str]:
        """The counts that a contender must report for `profile`."""
        names = [field.name for field in fields(cls)]
        return names if profile == "full" else names[:-2]


@dataclass(frozen=True, slots=True)
class Site:
    """`paths` are the HTML pages (start page first) that a crawl from `paths[0]` records.

    `tally` is None where it is not known; then only the number of pages is checked.
    """

    name: str
    folder: Path
    paths: list[str]
    tally: Tally | None
    mean_page_bytes: int
    mean_links: float
    duplicate_links: float
