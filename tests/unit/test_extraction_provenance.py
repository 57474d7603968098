"""Who published a page, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from scraper.extraction import ParsedPage, Profile, parse_page
from scraper.extraction.provenance import iso_date


def read(
    markup: str, url: str = "https://example.com/", *, content_language: str | None = None
) -> ParsedPage:
    return parse_page(
        markup.encode(), url, content_type=None, profile=Profile.FULL,
        content_language=content_language,
    )  # fmt: skip


def json_ld(text: str) -> str:
    return f'<script type="application/ld+json">{text}</script>'


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02T03:04:05.678+0100", "2024-01-02T03:04:05+01:00"),
        ("2024-01-02 03:04", "2024-01-02T03:04:00"),
        ("20240102", "2024-01-02"),
        ("2024/1/2", "2024-01-02"),
        ("2024-01-02 at noon", "2024-01-02"),
        ("Tue, 02 Jan 2024 03:04:05 GMT", "2024-01-02T03:04:05Z"),
        ("2024-13-02", None),
        ("1970-01-01", None),
        ("0000-00-00T00:00:00", None),
        ("yesterday", None),
        ("", None),
        ("9" * 30, None),
        ("٢٠٢٤-٠١-٠٢", None),
        ("x" * 1_000, None),
    ],
)
def test_dates_for_machines_are_read(written: str, date: str | None) -> None:
    assert iso_date(written) == date


def test_date_in_the_future_is_none() -> None:
    assert iso_date((datetime.now(UTC) + timedelta(days=3)).isoformat()) is None


def test_json_ld_comes_before_meta_before_time() -> None:
    article = '{"@type": "Article", "datePublished": "2024-01-01", "dateModified": "2024-01-04"}'
    meta = '<meta property="article:published_time" content="2024-01-02"><meta name=date content=2>'
    time = '<time datetime="2024-01-03">'
    assert read(json_ld(article) + meta + time).published_at == "2024-01-01"
    assert read(json_ld(article)).modified_at == "2024-01-04"
    assert read(meta + time).published_at == "2024-01-02"
    assert read(time).published_at == "2024-01-03"
    assert read("", "https://example.com/2024/01/05/title").published_at == "2024-01-05"
    assert read("", "https://example.com/2024/").published_at is None


def test_dates_of_what_is_no_work_do_not_count() -> None:
    assert read(json_ld('{"@type": "Event", "datePublished": "2024-01-01"}')).published_at is None


def test_article_in_a_graph_names_author_and_site() -> None:
    page = read(
        json_ld("""{"@graph": [
            {"@type": "WebSite", "name": "The Daily"},
            {"@type": ["Article"], "author": [{"@type": "Person", "name": "A. B."}, "C. D."]}]}""")
    )
    assert (page.author, page.site_name) == ("A. B., C. D.", "The Daily")


def test_meta_names_author_and_site() -> None:
    page = read("""<meta name="Author" content="By A. B."><meta property="og:site_name" content=S>
        <meta property="article:author" content="https://example.com/people/1">""")
    assert (page.author, page.site_name) == ("A. B.", "S")


def test_url_is_no_author() -> None:
    assert read('<meta property="article:author" content="https://f.com/x">').author is None


def test_microdata_tells_of_the_work_too() -> None:
    page = read("""<div itemscope itemtype="https://schema.org/BlogPosting">
        <span itemprop="author" itemscope><b itemprop="name">A. B.</b></span>
        <time itemprop="datePublished" datetime="2024-01-02">then</time></div>""")
    assert (page.author, page.published_at) == ("A. B.", "2024-01-02")


@pytest.mark.parametrize(
    ("markup", "header", "language"),
    [
        ("<html lang=de>", "en", "de"),
        ("<p>", "en", "en"),
        ("<p>", "de, en", None),
        ("<p>", "", None),
    ],
)
def test_language_of_the_header_is_the_last_resort(
    markup: str, header: str, language: str | None
) -> None:
    assert read(markup, content_language=header).language == language
