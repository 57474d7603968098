"""The page record: what is kept of a page, with the names that users see."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from scraper.extraction.page import ParsedPage
from scraper.extraction.text import encodable

_MAX_CONTENT_TYPE_CHARS: Final = 256
_HASH_CHARS: Final = 32


def content_hash(body: bytes) -> str:
    """32 hexadecimal digits that are the same for the same bytes, in every version.

    The first half of SHA-256: with the SHA instructions of today's processors it takes a quarter
    of BLAKE2b's time.
    """
    return hashlib.sha256(body, usedforsecurity=False).hexdigest()[:_HASH_CHARS]


def build_record(
    page: ParsedPage,
    *,
    url: str,
    requested_url: str,
    status: int,
    depth: int,
    found_on: str | None,
    fetched_at: str,
    content_type: str | None,
    content_hash: str,
    body_bytes: int,
    elapsed_ms: int,
    internal_links: Sequence[Mapping[str, object]],
    external_links: Sequence[Mapping[str, object]],
    html: str | None = None,
) -> dict[str, object]:
    """The record of an HTML page; it has the key `html` only when that is given, and
    those of `page.extras` only when they were asked for.

    `fetched_at` is ISO 8601; the links are {url, text, rel}, rel only where there is one.
    """
    record = build_bare_record(
        url=url,
        requested_url=requested_url,
        status=status,
        depth=depth,
        found_on=found_on,
        fetched_at=fetched_at,
        content_type=content_type,
        content_hash=content_hash,
        body_bytes=body_bytes,
        elapsed_ms=elapsed_ms,
    )
    record |= {
        "encoding": page.encoding,
        "language": page.language,
        "author": page.author,
        "siteName": page.site_name,
        "publishedAt": page.published_at,
        "modifiedAt": page.modified_at,
        "title": page.title,
        "description": page.description,
        "canonical": page.canonical,
        "headings": page.headings,
        "text": page.text,
        "links": {"internal": internal_links, "external": external_links},
        "images": page.images,
        "openGraph": page.open_graph,
        "jsonLd": page.json_ld,
        "microdata": page.microdata,
        "nofollow": page.nofollow,
    }
    record |= page.extras
    if html is not None:
        record["html"] = encodable(html)
    return record


def build_bare_record(
    *,
    url: str,
    requested_url: str,
    status: int,
    depth: int,
    found_on: str | None,
    fetched_at: str,
    content_type: str | None,
    content_hash: str,
    body_bytes: int,
    elapsed_ms: int,
) -> dict[str, object]:
    """The record of what is no HTML page: all fields, empty where nothing was extracted."""
    return {
        "url": url,
        "requestedUrl": requested_url,
        "status": status,
        "depth": depth,
        "foundOn": found_on,
        "fetchedAt": fetched_at,
        "contentType": content_type[:_MAX_CONTENT_TYPE_CHARS] if content_type else None,
        "encoding": None,
        "language": None,
        "author": None,
        "siteName": None,
        "publishedAt": None,
        "modifiedAt": None,
        "title": None,
        "description": None,
        "canonical": None,
        "headings": [],
        "text": "",
        "links": {"internal": [], "external": []},
        "images": [],
        "openGraph": {},
        "jsonLd": [],
        "microdata": [],
        "contentHash": content_hash,
        "bytes": body_bytes,
        "elapsed": elapsed_ms,
        "nofollow": False,
    }
