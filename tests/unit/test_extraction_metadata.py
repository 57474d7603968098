"""What a page says about itself."""

import pytest

from scraper.extraction import ParsedPage, Profile, parse_page
from scraper.extraction.limits import MAX_HEADINGS, MAX_TITLE_CHARS

URL = "https://example.com/docs/page.html"


def read(markup: str, profile: Profile = Profile.LINKS) -> ParsedPage:
    return parse_page(markup.encode(), URL, content_type="text/html", profile=profile)


def test_metadata_of_a_usual_page() -> None:
    page = read("""<!DOCTYPE html>
        <html lang="en-GB"><head><meta charset="utf-8">
        <title>
            Shoes &amp;  boots
        </title>
        <META NAME="Description" content=" All  our shoes. ">
        <link rel="alternate canonical" href="../shoes">
        <meta property="og:title" content="Shoes"><meta property="og:image" content="/1.jpg">
        <meta property="og:image" content="/2.jpg"><meta name="twitter:card" content="summary">
        </head><body><h1>Shoes <small>and</small> boots</h1><h3>Care<a href="#care">¶</a></h3>""")
    assert page.language == "en-GB"
    assert page.title == "Shoes & boots"
    assert page.description == "All our shoes."
    assert page.canonical == "https://example.com/shoes"
    assert page.open_graph == {"og:title": "Shoes", "og:image": ["/1.jpg", "/2.jpg"]}
    assert page.headings == [{"level": 1, "text": "Shoes and boots"}, {"level": 3, "text": "Care"}]
    assert (page.noindex, page.nofollow) == (False, False)
    assert page.truncated == frozenset()


def test_page_that_says_nothing_has_no_metadata() -> None:
    page = read("")
    assert page.base_url == URL
    assert page.title is page.description is page.canonical is page.language is None
    assert page.headings == []
    assert page.anchors.hrefs == []
    assert page.open_graph == {}


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("<title></title>", None),
        ("<title> \n </title>", None),
        ("<title>a</title><title>b</title>", "a"),
        ("<title>a<b>b</title>", "a<b>b"),
        ("<svg><title>icon</title></svg>", None),
        ("<p>x</p><svg><g><title>icon</title></g></svg><title>late</title>", "late"),
        ("<head><noscript><img></noscript><title>after</title></head>", "after"),
    ],
)
def test_title_is_the_first_of_the_document_and_not_of_svg(markup: str, title: str | None) -> None:
    assert read(markup).title == title


@pytest.mark.parametrize(
    ("content", "noindex", "nofollow"),
    [
        ("index, follow", False, False),
        ("NOINDEX", True, False),
        ("noarchive , NoFollow", False, True),
        ("none", True, True),
        ("max-snippet:-1", False, False),
    ],
)
def test_robots_directives_are_data(content: str, noindex: bool, nofollow: bool) -> None:
    page = read(f'<meta name="robots" content="{content}">')
    assert (page.noindex, page.nofollow) == (noindex, nofollow)


def test_robots_directives_of_several_elements_add_up() -> None:
    page = read("<meta name=robots content=noindex><meta name=ROBOTS content=nofollow>")
    assert (page.noindex, page.nofollow) == (True, True)


@pytest.mark.parametrize(
    ("markup", "base_url"),
    [
        ("", URL),
        ("<base target=_blank>", URL),
        ('<base href="/other/">', "https://example.com/other/"),
        ('<base href="sub/x">', "https://example.com/docs/sub/x"),
        ('<base href="//cdn.example.org">', "https://cdn.example.org/"),
        ('<base target=x><base href="/a/"><base href="/b/">', "https://example.com/a/"),
        ('<base href="javascript:alert(1)"><base href="/b/">', URL),
        ('<base href="http://[::bad">', URL),
    ],
)
def test_base_url_is_the_first_base_href_if_that_is_http(markup: str, base_url: str) -> None:
    assert read(markup).base_url == base_url


@pytest.mark.parametrize(
    ("href", "canonical"),
    [
        ("https://example.com/a b", "https://example.com/a%20b"),
        ("?page=2", URL + "?page=2"),
        ("", None),
        ("javascript:void(0)", None),
        ("http://[bad", None),
        ("https://example.com/" + "x" * 3000, None),
    ],
)
def test_canonical_is_absolute_or_none(href: str, canonical: str | None) -> None:
    assert read(f'<link rel="canonical" href="{href}">').canonical == canonical


def test_canonical_follows_the_base_url() -> None:
    page = read('<link rel=canonical href="x"><base href="https://example.org/y/">')
    assert page.canonical == "https://example.org/y/x"


@pytest.mark.parametrize(
    ("markup", "language"),
    [
        ("<html lang=' de '>", "de"),
        ("<html xml:lang='fr'>", "fr"),
        ("<html lang=''><meta http-equiv='Content-Language' content='pl'>", "pl"),
        ("<html lang='a language'>", None),
        ("<html lang='" + "x" * 50 + "'>", None),
    ],
)
def test_language_is_a_language_tag(markup: str, language: str | None) -> None:
    assert read(markup).language == language


def test_long_titles_and_many_headings_are_cut() -> None:
    page = read(f"<title>{'t' * 5000}</title>" + "<h2>h</h2>" * 300)
    assert page.title == "t" * MAX_TITLE_CHARS
    assert len(page.headings) == MAX_HEADINGS
    assert page.truncated == {"headings"}


def test_style_sheets_in_headings_are_no_text() -> None:
    page = read("<h1><svg><style>.a{fill:red}</style></svg>Logo {x}</h1>")
    assert page.headings == [{"level": 1, "text": "Logo {x}"}]


@pytest.mark.parametrize(
    ("content", "url"),
    [
        ("0; url=/next", "http://a.test/next"),
        ("5;URL='next?a=1;b'", "http://a.test/p/next?a=1;b"),
        ('1.5, url="https://b.test/"', "https://b.test/"),
        ("0; ./cli.html", "http://a.test/p/cli.html"),
        ("0 ; url = /x ", "http://a.test/x"),
        ("30", None),
        ("0;", None),
        ("0; url=javascript:alert(1)", None),
        ("url=/next", None),
    ],
)
def test_refresh_leads_where_browsers_go(content: str, url: str | None) -> None:
    quote = '"' if "'" in content else "'"
    head = f"<meta http-equiv=Refresh content={quote}{content}{quote}>"
    page = parse_page(
        f"<html><head>{head}</head></html>".encode(), "http://a.test/p/", content_type="text/html",
        profile=Profile.LINKS,
    )  # fmt: skip
    assert page.refresh == url
