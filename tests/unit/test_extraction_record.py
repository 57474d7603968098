"""The page record has the fields that users are promised."""

import hashlib

import orjson

from scraper.extraction import (
    ParsedPage,
    Profile,
    build_bare_record,
    build_record,
    content_hash,
    parse_page,
)

# interfaces.md, section 5; and `nofollow`.
FIELDS = [
    *("url", "requestedUrl", "status", "depth", "foundOn", "fetchedAt", "contentType"),
    *(
        "encoding",
        "language",
        "author",
        "siteName",
        "publishedAt",
        "modifiedAt",
        "title",
        "description",
        "canonical",
        "headings",
        "text",
    ),
    *(
        "links",
        "images",
        "openGraph",
        "jsonLd",
        "microdata",
        "contentHash",
        "bytes",
        "elapsed",
        "nofollow",
    ),
]
BODY = b"""<html lang=en><title>T</title><meta name=description content=D>
    <meta name=robots content=nofollow><meta property=og:type content=website>
    <script type=application/ld+json>{"@type": "Thing"}</script>
    <h1>H</h1><img src=i.png alt=I>"""


def parsed() -> ParsedPage:
    return parse_page(BODY, "https://example.com/", content_type="text/html", profile=Profile.FULL)


def record(html: str | None = None) -> dict[str, object]:
    return build_record(
        parsed(),
        url="https://example.com/",
        requested_url="https://example.com",
        status=200,
        depth=1,
        found_on="https://example.com/start",
        fetched_at="2025-01-01T00:00:00.000Z",
        content_type="text/html",
        content_hash=content_hash(BODY),
        body_bytes=len(BODY),
        elapsed_ms=12,
        internal_links=[{"url": "https://example.com/a", "text": "A", "rel": "next"}],
        external_links=[{"url": "https://example.org/", "text": ""}],
        html=html,
    )


def test_record_has_exactly_the_promised_fields() -> None:
    assert sorted(record()) == sorted(FIELDS)
    assert sorted(record(html="<p>")) == sorted([*FIELDS, "html"])


def test_record_carries_what_was_read() -> None:
    assert orjson.loads(orjson.dumps(record())) == {
        "url": "https://example.com/",
        "requestedUrl": "https://example.com",
        "status": 200,
        "depth": 1,
        "foundOn": "https://example.com/start",
        "fetchedAt": "2025-01-01T00:00:00.000Z",
        "contentType": "text/html",
        "encoding": "utf-8",
        "language": "en",
        "author": None,
        "siteName": None,
        "publishedAt": None,
        "modifiedAt": None,
        "title": "T",
        "description": "D",
        "canonical": None,
        "headings": [{"level": 1, "text": "H"}],
        "text": "H",
        "links": {
            "internal": [{"url": "https://example.com/a", "text": "A", "rel": "next"}],
            "external": [{"url": "https://example.org/", "text": ""}],
        },
        "images": [{"src": "https://example.com/i.png", "alt": "I"}],
        "openGraph": {"og:type": "website"},
        "jsonLd": [{"@type": "Thing"}],
        "microdata": [],
        "contentHash": content_hash(BODY),
        "bytes": len(BODY),
        "elapsed": 12,
        "nofollow": True,
    }


def test_html_on_request_can_always_be_written() -> None:
    html = record(html="a\0b \ud800 ü 😀 \ud83d\ude00")["html"]
    assert html == "ab \ufffd ü 😀 😀"
    assert orjson.dumps(html)


def test_bare_record_has_the_same_fields_and_is_empty() -> None:
    bare = build_bare_record(
        url="https://example.com/x.pdf",
        requested_url="https://example.com/x.pdf",
        status=200,
        depth=1,
        found_on=None,
        fetched_at="2025-01-01T00:00:00.000Z",
        content_type="application/pdf" + " " * 1_000,
        content_hash=content_hash(b"%PDF"),
        body_bytes=4,
        elapsed_ms=3,
    )
    assert list(bare) == FIELDS
    assert bare["title"] is bare["encoding"] is None
    assert bare["links"] == {"internal": [], "external": []}
    assert bare["text"] == ""
    assert len(str(bare["contentType"])) <= 256


def test_content_hash_is_half_of_sha_256() -> None:
    assert content_hash(b"abc") == hashlib.sha256(b"abc").hexdigest()[:32]
    assert content_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223"
