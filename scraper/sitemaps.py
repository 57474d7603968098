"""Sitemaps as pages of a job's frontier: leased, fetched and committed like any, never recorded.

The commit of a start page brings /robots.txt and /sitemap.xml along; their commits bring the
sitemaps that they name, and those of sitemaps the pages. So a worker that dies loses none.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from scrapy.http import Response

from scraper.jobs.leases import ChargedLink, Filtered
from scraper.lineage import PageWork
from scraper.scope import InvalidUrlError, canonical_url, host_key, resolve
from scraper.scope.sitemaps import MAX_SITEMAP_URLS, Sitemap, read_sitemap, sitemaps_in_robots

CALLBACK: Final = "read_sitemap"
SHAPE: Final = "sitemap"
LEVEL, FIRST = "sitemap_level", "sitemap_first"
META: Final = frozenset({LEVEL, FIRST})

# A job's, over all hosts and levels.
MAX_SITEMAPS: Final = 1_000
# robots.txt is level 0; an index may name indexes, which is more than the protocol allows.
MAX_LEVEL: Final = 3
# As many as a page may have links: a commit of more would hold Redis up.
URLS_A_PART: Final = 10_000


def add_sitemaps_of_site(work: PageWork) -> None:
    """The start page is through: have its site's robots.txt and sitemap looked at."""
    scheme, _, rest = work.final_url.partition("://")
    origin = f"{scheme}://{rest.partition('/')[0]}"
    for path in ("/robots.txt", "/sitemap.xml"):
        _add(work, origin + path, 0)


def take_sitemap(response: Response, work: PageWork, level: int, first: int = 0) -> list[str]:
    """Read what was fetched as a sitemap; the URLs of pages. What else follows from it is done."""
    if level == 0 and work.lease.url.endswith("/robots.txt"):
        found = Sitemap(sitemaps=sitemaps_in_robots(response.body))
    else:
        found = read_sitemap(response.body, skip=first, most=URLS_A_PART)
    for url in found.sitemaps:
        _add_child(work, url, level)
    read = first + found.entries
    if found.has_more:
        _go_on_behind(work, read, level)
    if found.problem and not found.entries:
        work.fail("bad_sitemap", f"this is no sitemap that can be read: {found.problem}")
    else:
        problem = f"; then {found.problem}" if found.problem else ""
        work.skip = ("sitemap", f"{read} entries{problem}")
    return found.pages


def _add_child(work: PageWork, href: str, level: int) -> None:
    try:
        url = resolve(work.final_url, href)
    except InvalidUrlError as error:
        work.filtered.append(Filtered(error.reason, 1, error.url))
        return
    # robots.txt may name sitemaps anywhere; an index those of its own host and of the job's.
    is_near = level == 0 or host_key(url) == host_key(work.final_url)
    if level >= MAX_LEVEL:
        work.filtered.append(Filtered("sitemap_limit", 1, url))
    elif is_near or work.run.scope.is_internal(url):
        _add(work, url, level + 1)
    else:
        work.filtered.append(Filtered("off_scope", 1, url))


def _go_on_behind(work: PageWork, read: int, level: int) -> None:
    """Have the rest of a large file read as a page of its own, under a name that no page has."""
    url = work.lease.url.partition("#")[0]
    if read >= MAX_SITEMAP_URLS:
        work.filtered.append(Filtered("sitemap_limit", 1, url))
    else:
        _add(work, f"{url}#{read}", level, read)


def _add(work: PageWork, url: str, level: int, first: int = 0) -> None:
    work.links.pop(url, None)
    meta: dict[str, Any] = {LEVEL: level, FIRST: first} if first else {LEVEL: level}
    extra = orjson.dumps({"callback": CALLBACK, "meta": meta}).decode()
    if work.run.known.get(url, 1) > 0:
        work.charged[url] = ChargedLink(url, 0, "sitemap_limit", SHAPE, MAX_SITEMAPS, extra)


def is_lifted(url: str) -> bool:
    """Whether robots.txt has no say: it never forbids itself."""
    return canonical_url(url).partition("://")[2].partition("/")[2] == "robots.txt"
