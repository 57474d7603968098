"""The links of a page, as they are written."""

from scraper.extraction import ParsedPage, Profile, parse_page
from scraper.extraction.limits import MAX_ANCHOR_TEXT_CHARS, MAX_ANCHORS, MAX_ANCHORS_TOTAL_CHARS


def read(markup: str) -> ParsedPage:
    return parse_page(
        markup.encode(), "https://example.com/", content_type=None, profile=Profile.LINKS
    )


def test_anchors_are_raw_and_in_document_order() -> None:
    page = read("""
        <nav><a href="/a?x=1&amp;y=2" rel="NoFollow  noopener">A <b>bold</b>
        link</a></nav><map><area href="b#c" alt="B"></map><a name="x">no link</a>
        <a href=" /space ">  </a><A HREF="mailto:x@example.com">mail</A><svg><a href="/svg"/></svg>
        <a href="//example.org/ü">ü</a><a href>empty</a><a rel="" href="">same</a>""")
    assert list(zip(*page.anchors, strict=True)) == [
        ("/a?x=1&y=2", "A bold link", "nofollow noopener"),
        ("b#c", "", None),
        (" /space ", "", None),
        ("mailto:x@example.com", "mail", None),
        ("/svg", "", None),
        ("//example.org/ü", "ü", None),
        ("", "empty", None),
        ("", "same", None),
    ]


def test_links_in_noscript_are_found_and_links_in_comments_are_not() -> None:
    page = read('<noscript><a href="/n">n</a></noscript><!-- <a href="/c">c</a> -->')
    assert page.anchors.hrefs == ["/n"]


def test_frames_of_a_frameset_are_its_links() -> None:
    page = read("""<title>x</title><frameset cols="20%,80%"><frame src="menu.html" name=menu>
        <frameset rows="1,1"><frame src="/main.html" title="The  text"><frame name=empty></frameset>
        <noframes><a href="/n">n</a></noframes></frameset>""")
    assert page.anchors == (["menu.html", "/main.html"], ["menu", "The text"], [None, None])


def test_unclosed_and_misnested_links_do_not_swallow_each_other() -> None:
    page = read('<a href="/1">one<p><a href="/2">two</b></p><div><a href=/3>three')
    assert [href for href, text, _ in zip(*page.anchors, strict=True) if text] == ["/1", "/2", "/3"]


def test_more_links_than_the_limit_are_cut_in_order() -> None:
    page = read("".join(f"<a href=/{number}>x</a>" for number in range(MAX_ANCHORS + 5)))
    assert page.anchors.hrefs == [f"/{n}" for n in range(MAX_ANCHORS)]
    assert page.links_truncated


def test_exactly_as_many_links_as_the_limit_are_not_cut() -> None:
    page = read("<a href=x>x</a>" * MAX_ANCHORS + "<a>no link</a>")
    assert len(page.anchors.hrefs) == MAX_ANCHORS
    assert not page.links_truncated


def test_long_link_texts_are_cut() -> None:
    page = read(f"<a href=/x>{'word ' * 1000}</a>")
    assert page.anchors.texts[0] == ("word " * 100).rstrip()
    assert len(page.anchors.texts[0]) <= MAX_ANCHOR_TEXT_CHARS


def test_nested_links_do_not_multiply_their_text() -> None:
    page = read("<a href=/x><object>" * 400 + "y" * 50_000)
    assert len(page.anchors.hrefs) == 400
    assert sum(map(len, page.anchors.texts)) <= MAX_ANCHORS_TOTAL_CHARS
    assert page.anchors.texts[-1] == ""
    assert page.links_truncated
