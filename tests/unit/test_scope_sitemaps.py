"""Sitemaps: every usual form is read, nothing unusual costs much."""

from __future__ import annotations

import gzip
import re
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.scope.sitemaps import (
    MAX_SITEMAP_BYTES,
    is_xml_sitemap,
    read_sitemap,
    sitemaps_in_robots,
)

SPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


def urlset(*urls: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    entries = "".join(f"<url><loc>{url}</loc><priority>1</priority></url>" for url in urls)
    return f'{head}<urlset xmlns="{SPACE}">{entries}</urlset>'.encode()


URLS = ["https://a.test/1", "https://a.test/2"]


@pytest.mark.parametrize(
    "body",
    [
        urlset(*URLS),
        urlset(*URLS, head=""),
        b"\xef\xbb\xbf\n\n " + urlset(*URLS),
        gzip.compress(urlset(*URLS), mtime=0),
        urlset(*URLS, head='<?xml version="1.0" encoding="ISO-8859-1"?>'),
        urlset(*URLS, head='<?xml version="1.0" encoding="UTF-16"?>').decode().encode("utf-16"),
        urlset(*(f"\n  <![CDATA[{url}]]>\n" for url in URLS)),
        urlset(*URLS).replace(b"<loc>", b"<s:loc>").replace(b"</loc>", b"</s:loc>"),
        "\r\n".join(["junk", *URLS, ""]).encode(),
        gzip.compress("\n".join(URLS).encode(), mtime=0),
        b"<rss><channel><link>https://a.test/</link>"
        + b"".join(b"<item><link>%s</link></item>" % url.encode() for url in URLS)
        + b"</channel></rss>",
        b"<feed><link href='https://a.test/'/>"
        + b"".join(
            b"<entry><link rel='edit' href='x'/><link href='%s'/></entry>" % url.encode()
            for url in URLS
        )
        + b"</feed>",
    ],
)
def test_each_form_gives_its_pages_in_order(body: bytes) -> None:
    found = read_sitemap(body)
    assert (found.pages, found.sitemaps, found.problem) == (URLS, [], "")


def test_an_index_gives_sitemaps_and_pictures_are_no_pages() -> None:
    index = urlset(*URLS).replace(b"url>", b"sitemap>")
    assert read_sitemap(index).sitemaps == URLS
    picture = b"<image:image><image:loc>https://a.test/x.png</image:loc></image:image></url>"
    assert read_sitemap(urlset(*URLS).replace(b"</url>", picture)).pages == URLS


def test_stray_ampersands_are_read_wherever_a_chunk_ends() -> None:
    for blanks in range(65_400, 65_560, 7):
        body = urlset("https://a.test/?a=1&b=2&amp;c=3").replace(b"<url>", b" " * blanks + b"<url>")
        assert read_sitemap(body).pages == ["https://a.test/?a=1&b=2&c=3"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda body: body[:-5], "broken"),
        (lambda body: body.replace(b"<loc>https://a.test/2", b"<b><loc>"), "broken"),
        (lambda body: gzip.compress(body + b" " * 200_000)[:-9], ""),
        (lambda body: gzip.compress(body)[:20] + b"x" * 30, "gzip"),
        (lambda body: body.replace(b"UTF-8", b"KLINGON"), "cannot be read|broken"),
        (lambda body: b"<a>" * 100 + body, "nested"),
    ],
)
def test_what_stands_before_the_damage_counts(
    damage: Callable[[bytes], bytes], problem: str
) -> None:
    found = read_sitemap(damage(urlset(*URLS)))
    assert set(found.pages) <= set(URLS)
    assert re.search(problem, found.problem)


BOMBS = {
    "laughs": b'<!DOCTYPE u [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + urlset("&b;", head=""),
    "quadratic": b'<!DOCTYPE u [<!ENTITY a "' + b"x" * 100_000 + b'">]>'
    + urlset("&a;" * 10_000, head=""),
    "external": b"<!DOCTYPE u [<!ENTITY a SYSTEM \"file:///etc/hostname\">]>"
    + urlset("&a;", head=""),
    "parameter": b'<!DOCTYPE u [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>' + urlset("x"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_entities_are_refused(name: str) -> None:
    found = read_sitemap(BOMBS[name])
    assert found.pages == []
    assert "entities" in found.problem


def test_what_unpacks_to_gigabytes_costs_little() -> None:
    packer = zlib.compressobj(9, wbits=31)
    block = b" " * 1_000_000
    body = packer.compress(urlset(*URLS)[:-9])
    body += b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
    tracemalloc.start()
    started_s = time.process_time()
    try:
        found = read_sitemap(body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.pages == URLS
    assert f"{MAX_SITEMAP_BYTES:,}" in found.problem
    assert peak_bytes < 5_000_000
    assert time.process_time() - started_s < 10


def test_large_files_are_read_in_parts() -> None:
    urls = [f"https://a.test/{number}" for number in range(25)]
    body = urlset(*urls)
    first, last = read_sitemap(body, most=10), read_sitemap(body, skip=20, most=10)
    assert (first.pages, first.has_more) == (urls[:10], True)
    assert (last.pages, last.has_more) == (urls[20:], False)
    assert not read_sitemap(body, most=25).has_more


def test_overlong_urls_are_no_entries() -> None:
    assert read_sitemap(urlset("https://a.test/" + "x" * 3_000, URLS[0])).pages == URLS[:1]


def test_lines_of_robots_name_sitemaps() -> None:
    text = (
        "User-agent: *\nSitemap: https://a.test/1.xml\n"
        "  SITEMAP :https://a.test/2.xml # mine\n#Sitemap: https://a.test/3.xml\n"
        "Sitemap: https://a.test/1.xml\nsitemap:\n"
    )
    assert sitemaps_in_robots(text.encode()) == ["https://a.test/1.xml", "https://a.test/2.xml"]


def test_sitemaps_are_known_by_their_root() -> None:
    assert is_xml_sitemap(urlset())
    assert is_xml_sitemap(b"\n<sitemapindex>")
    assert not is_xml_sitemap(b"<rss><channel>")
    assert not is_xml_sitemap(b"a <urlset>")


@given(st.binary(max_size=300) | st.text("<>&;![]url loc/?x=\"'", max_size=300).map(str.encode))
def test_any_bytes_are_read_without_an_error(body: bytes) -> None:
    for content in (body, b"<?xml?>" + body, urlset() + body, gzip.compress(body)):
        found = read_sitemap(content)
        assert not any(" " in url.strip() and len(url) > 2_048 for url in found.pages)
