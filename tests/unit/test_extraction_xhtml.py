"""XHTML is read as browsers read it where its type says so, and as HTML elsewhere."""

from __future__ import annotations

import pytest

from scraper.extraction import ParsedPage, Profile, parse_page
from scraper.extraction.xhtml import html_of_xhtml

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>One</title><script src="a.js" />
<script type="text/javascript" src='b>/.js'/></head><body><a id="top"/><div class="a/b"/>
<p>Seen<br/>too <a href="/1?a/">one</a><a href="/2">two</a></p><textarea/>
<p>Last</p></body></html>"""


def read(content_type: str) -> ParsedPage:
    return parse_page(
        PAGE.encode(), "https://example.com/", content_type=content_type, profile=Profile.FULL
    )


@pytest.mark.parametrize(
    "content_type", ["application/xhtml+xml", "Application/XHTML+XML;charset=utf-8", "text/xml"]
)
def test_elements_that_close_themselves_swallow_nothing(content_type: str) -> None:
    page = read(content_type)
    assert page.title == "One"
    assert page.text.split("\n") == ["Seen", "too onetwo", "Last"]
    assert page.anchors == (["/1?a/", "/2"], ["one", "two"], [None, None])


def test_in_html_a_slash_closes_nothing() -> None:
    assert read("text/html").text == ""


def test_tags_that_never_end_cost_no_more_than_their_length() -> None:
    # Each looked through all that follows: 40 kB took 7 s.
    for unit in (b"<x a ", b"<x/ ", b"<x a=", b"<x a='"):
        markup = b"<br/>" + unit * 100_000
        assert html_of_xhtml(markup, "application/xhtml+xml") == markup


def test_a_value_in_quotes_may_hold_what_begins_a_tag() -> None:
    markup = b"""<p title="a < b /> c"/><q cite='<'/>"""
    closed = b"""<p title="a < b /> c"></p><q cite='<'></q>"""
    assert html_of_xhtml(markup, "text/xml") == closed
