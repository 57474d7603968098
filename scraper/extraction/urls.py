"""Absolute URLs of what a page refers to."""

from functools import lru_cache

from ada_url import join_url, normalize_url

from scraper.extraction.limits import MAX_URL_CHARS
from scraper.scope.canonical import is_plain_path


def http_url(base: str, href: str) -> str | None:
    """Where `href` leads from `base`, as browsers resolve it; None where that is not http(s),
    not a URL at all, or over 2,048 characters long.
    """
    if len(href) > MAX_URL_CHARS:
        return None
    start = base[: base.find("/", len("https://")) + 1]
    if is_plain_path(href) and _is_normal(start):
        url = start + href[1:]
        return url if len(url) <= MAX_URL_CHARS else None
    try:
        url = join_url(base, href)
    except ValueError:
        return None
    is_usable = url.startswith(("https://", "http://")) and len(url) <= MAX_URL_CHARS
    return url if is_usable else None


@lru_cache(maxsize=256)
def _is_normal(start: str) -> bool:
    """Whether this beginning of a base, with the "/" behind its host, is as URLs are joined to."""
    try:
        return start.startswith(("https://", "http://")) and normalize_url(start) == start
    except ValueError:
        return False
