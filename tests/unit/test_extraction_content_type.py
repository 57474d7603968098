"""Which responses are HTML pages."""

import pytest

from scraper.extraction import is_html


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "text/html, application/json",
        " text/html ;",
    ],
)
def test_html_types_are_html_whatever_the_body(content_type: str) -> None:
    assert is_html(content_type, b"\x89PNG")


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "image/svg+xml", "application/octet-stream"]
)
def test_other_types_are_not_html_whatever_the_body(content_type: str) -> None:
    assert not is_html(content_type, b"<!DOCTYPE html><html>")


@pytest.mark.parametrize(
    "start",
    [
        b"<!DOCTYPE html>",
        b"\n\t <!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>",
        b"\xef\xbb\xbf<html lang=en>",
        b"<!-- hello --><head>",
        b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">',
        b"<p>hello",
        "\ufeff<!DOCTYPE html>".encode("utf-16-le"),
        "<html>".encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("content_type", [None, "", "*/*", "html"])
def test_bodies_without_a_type_are_html_when_they_begin_as_html(
    start: bytes, content_type: str | None
) -> None:
    assert is_html(content_type, start)


@pytest.mark.parametrize(
    "start",
    [b"", b"hello", b"{}", b"%PDF-1.7", b"<?xml version='1.0'?><rss>", b"<svg>", b"<pre>", b"\0\0"],
)
def test_bodies_without_a_type_are_not_html_when_they_begin_otherwise(start: bytes) -> None:
    assert not is_html(None, start)


def test_xml_is_html_when_its_root_is() -> None:
    assert is_html("application/xml", b"<?xml version='1.0'?><html xmlns='x'>")
    assert not is_html("text/xml", b"<?xml version='1.0'?><urlset>")
