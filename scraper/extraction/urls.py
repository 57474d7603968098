"""Absolute URLs of what a page refers to."""

from ada_url import join_url

from scraper.extraction.limits import MAX_URL_CHARS


def http_url(base: str, href: str) -> str | None:
    """Where `href` leads from `base`, as browsers resolve it; None where that is not http(s),
    not a URL at all, or over 2,048 characters long.
    """
    if len(href) > MAX_URL_CHARS:
        return None
    try:
        url = join_url(base, href)
    except ValueError:
        return None
    is_usable = url.startswith(("https://", "http://")) and len(url) <= MAX_URL_CHARS
    return url if is_usable else None
