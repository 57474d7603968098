"""Pages made to hurt: each must become a record of usual size, soon."""

import gc
import random
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper.extraction import Extras, ParsedPage, Profile, build_record, parse_page
from scraper.extraction.tame_markup import tame_markup

ALL_EXTRAS = Extras(product=True, main_content=True)
MAX_RECORD_BYTES = 4_000_000
# Of processor time, on a slow machine under load; without taming some of these take minutes.
MAX_SECONDS = 15


def record_bytes(page: ParsedPage) -> bytes:
    links = [
        {"url": href[:2048], "text": text} for href, text, _ in zip(*page.anchors, strict=True)
    ]
    record = build_record(
        page,
        url="https://example.com/",
        requested_url="https://example.com/",
        status=200,
        depth=0,
        found_on=None,
        fetched_at="2025-01-01T00:00:00Z",
        content_type=None,
        content_hash="",
        body_bytes=0,
        elapsed_ms=0,
        internal_links=links,
        external_links=[],
    )
    return orjson.dumps(record)


def read(body: bytes, profile: Profile = Profile.FULL) -> ParsedPage:
    return parse_page(
        body,
        "https://example.com/",
        content_type="text/html",
        profile=profile,
        extras=ALL_EXTRAS,
    )


def numbered(pattern: bytes, count: int) -> bytes:
    return b"".join(pattern % number for number in range(count))


HOSTILE = {
    "wide table": b"<main><p>" + b"word " * 100 + b"<table>" + b"<tr><td>x<td>y" * 30_000,
    "spans": b"<table>" + b"<tr><td colspan=99 rowspan=99>x<td>y" * 5_000,
    "one long word": b"<main><p>" + b"x" * 1_000_000,
    "list that does not end": b"<main>" + b"<ul><li>word word word word word" * 5_000,
    "many prices": b"<h1>x</h1>" + b"<b class=price>5 EUR</b>" * 100_000,
    "nested prices": b"<div class='price old sku brand-name breadcrumb'>5" * 50_000,
    "wide breadcrumbs": b"<div class=breadcrumb>" + b"<a href=/x>y</a>" * 100_000 + b"</div>" * 99,
    "many offers": b'<script type=application/ld+json>{"@type":"Product","name":"x","offers":['
    + b'{"price":1,"itemOffered":{"sku":"s"}},' * 24_000
    + b"{}]}</script>",
    "many products": b"<script type=application/ld+json>["
    + b'{"@type":"Product","name":"x"},' * 30_000
    + b"{}]</script>",
    "long price": b"<script type=application/ld+json>"
    + b'{"@type":"Product","name":"x","offers":{"price":"'
    + b"1 " * 400_000
    + b'"}}</script>',
    "nested microdata": b"<div itemscope itemprop=a>" * 50_000,
    "many properties": b"<div itemscope>" + b"<i itemprop=a>y</i>" * 60_000,
    "properties that share their text": b"<div itemscope>" + b"<p><span itemprop=a>y" * 100_000,
    "microdata that refers to itself": b"<div id=x itemscope itemref=x itemprop=a>" * 5_000,
    "broken JSON-LD": b"<script type=application/ld+json>{" + b"'a':[[" * 40_000 + b"</script>",
    "escaped JSON-LD": b"<script type=application/ld+json>" + b"&amp;" * 50_000 + b"</script>",
    "many dates": b"<time datetime=x>" * 200_000,
    "nested": b"<div>" * 100_000 + b"<a href=/x>deep</a>",
    "nested and closed": b"<div>" * 100_000 + b"x" + b"</div>" * 100_000,
    "nested lists": b"<ul><li>" * 50_000,
    "nested links": b"<a href=/x><object>y" * 30_000,
    "nested headings": b"<h1><div>y" * 30_000,
    "nested tables": b"<table><tr><td>" * 30_000,
    "unclosed links": b"<a href=/x><div>y" * 30_000,
    "misnested": b"<a><b><i><u><div></a></b></i></u>" * 10_000,
    "many links": b"<a href=/x>y</a> " * 300_000,
    "many attributes": b"<a " + numbered(b"a%d ", 200_000) + b" href=/x>y</a>",
    "many attributes, not long": b"<a " + numbered(b"a%d ", 15_000) + b">",
    "reopened formatting": b"<p>" + numbered(b"<b a%d>", 2_000) + b"</p>" + b"<p>x" * 4_000,
    "reopened formatting, hidden": b"<p>" + numbered(b'<b x=">" a%d>', 2_000) + b"<p>x" * 4_000,
    "reopened plain formatting": b"<p>" + b"<b><i><u><s><tt>" * 3 + b"<p>x" * 200_000,
    "huge attributes": b'<a href="%b">y</a><img src="%b" alt="%b">' % ((b"x" * 3_000_000,) * 3),
    "huge title": b"<title>" + b"t" * 5_000_000,
    "tags without end": b"<" * 2_000_000,
    "unopened ends": b"</p></x>" * 100_000,
    "comments": b"<!--" * 500_000,
    "short comments": b"<p>x<!-- y -->" * 100_000,
    "scripts": b"<script>" * 200_000,
    "lines": b"<pre>" * 1_000 + b"x\n" * 500_000,
    "zeros": b"\0" * 2_000_000,
    "noise": random.Random(7).randbytes(3_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_become_usual_records_in_time(name: str) -> None:
    started = time.process_time()
    page = read(HOSTILE[name])
    assert time.process_time() - started < MAX_SECONDS
    assert len(record_bytes(page)) < MAX_RECORD_BYTES


def test_links_and_text_below_the_deepest_level_are_kept() -> None:
    page = read(HOSTILE["nested"])
    assert page.anchors.hrefs == ["/x"]
    assert page.text == "deep"
    assert page.truncated == {"markup"}


def test_large_pages_that_are_not_deep_are_left_alone() -> None:
    rows = b"<tr><td><p>x<br><a href=/x><b class=y>z</b></a><svg><path d=m/></svg><li>i" * 2_000
    markup = b"<!DOCTYPE html><table>" + rows + b"</table><script>'<div>'</script>"
    cuts: set[str] = set()
    assert tame_markup(markup, cuts) == markup
    assert not cuts


def test_ends_of_left_out_elements_close_nothing_else() -> None:
    inner = b"<section>" * 20_000 + b"x" + b"</section>" * 20_000
    page = read(b"<div>" + inner + b"<h1>after</h1></div><p>end")
    assert [heading["text"] for heading in page.headings] == ["after"]
    assert page.text.split("\n") == ["x", "after", "end"]


def test_harmless_formatting_is_not_renamed() -> None:
    markup = b"<p><code class='a'>x</code> <strong>y</strong></p>" * 4_000
    assert tame_markup(markup, set()) == markup


@given(
    st.lists(
        st.sampled_from(
            b"<div>|</div>|<p>|<a href='x'>|</a>|<table>|<td>|<svg>|<title>|<script>|</script>|<!--"
            b"|-->|<pre>|\n|<main>|<h1>|<li>|<select>|<template>|<base href=//[>|\0|\xff|&#xD800;"
            b"|<meta name=robots content=none>|<meta property=og:x content=y>|<img src=x>|<b>"
            b"|x |<body>|</body>|<frameset>|</html>".split(b"|")
        )
    ),
    st.binary(max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_any_markup_becomes_a_record(pieces: list[bytes], noise: bytes) -> None:
    page = read(b"".join(pieces) + noise)
    assert record_bytes(page)
    hrefs = page.anchors.hrefs
    assert "\0" not in "".join([page.text, page.title or "", *hrefs])


@given(st.text(), st.text())
def test_any_text_becomes_a_record(title: str, href: str) -> None:
    markup = f'<title>{title}</title><a href="{href}">{title}</a>'
    record_bytes(read(markup.encode("utf-8", "surrogatepass")))


def test_parsed_pages_do_not_keep_the_tree_alive() -> None:
    body = b"<div>" + b"<p>x<a href=/x>y</a></p>" * 20_000
    gc.collect()
    gc.disable()
    try:
        pages = [read(body, Profile.LINKS) for _ in range(3)]
        kept = [
            item for item in gc.get_objects() if isinstance(item, LexborHTMLParser | LexborNode)
        ]
    finally:
        gc.enable()
    assert len(pages) == 3
    assert not kept
