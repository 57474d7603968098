"""What trafilatura left out of an article is left out; elsewhere all stays."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser

from scraper.extraction import Extras, Profile, parse_page
from scraper.extraction.main_content.leftovers import drop_leftovers
from scraper.extraction.main_content.locate import MainElement, marks_of, squeezed

SENTENCES = [
    f"Paragraph {number} tells of foxes, as anybody can see who goes there at dusk or at dawn."
    for number in range(5)
]
TAKEN = "\n".join(SENTENCES)
FIRST = f"<p>{SENTENCES[0]}</p><p>{SENTENCES[1]}</p>"
REST = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES[2:])


def left_of(inner: str, taken: str = TAKEN) -> str:
    """The text of an article of which trafilatura took `taken`."""
    tree = LexborHTMLParser(f"<body><article>{inner}</article></body>")
    article, body = tree.css_first("article"), tree.body
    assert article is not None
    assert body is not None
    drop_leftovers(MainElement(article, marks_of(body, squeezed(taken)), taken))
    return " ".join(article.text(separator=" ").split())


def around(block: str) -> str:
    text = left_of(FIRST + block + REST)
    assert all(sentence in text for sentence in SENTENCES)
    return text


def test_teasers_calls_and_galleries_between_the_paragraphs_go() -> None:
    for block in (
        '<p><b><a href="/1">ALSO READ: WOLVES ARE BACK</a></b></p>',
        "<div><span>1 / 8</span><p>Two wolves shake hands in town.</p></div>",
        '<div><h3><a href="/1">An owl came</a></h3><h4>It stays</h4></div>',
        '<ul><li><a href="/1">An owl for the church of this town</a></ul>',
        "<p>Get our stories by mail each morning.</p>",
    ):
        words = LexborHTMLParser(block).text().split()[-1]
        assert words not in around(block), block


def test_what_trafilatura_takes_no_notice_of_stays() -> None:
    for block in (
        "<h2>What they need</h2>",
        "<pre>def fox(): pass</pre>",
        "<table><tr><td>den</table>",
        "<ul><li>a den</li> <li>water</li></ul>",
        '<div class="note">Foxes may bite, and some have rabies.</div>',
        "<p>at dusk or at dawn</p>",
    ):
        assert LexborHTMLParser(block).text().split()[-1] in around(block).split(), block


def test_summary_above_the_article_stays() -> None:
    text = "Foxes have come back, says a count of tracks in the snow of the last winter."
    summary = f'<div class="story-summary"><span>{text}</span></div>'
    assert text in left_of(summary + FIRST + REST)
    assert text not in left_of(FIRST + REST + summary)


def test_headings_go_with_all_that_stood_below_them() -> None:
    teaser = '<h2>More on this</h2><p><a href="/1">Wolves are back in town</a></p>'
    assert "More on this" not in left_of(FIRST + teaser + "<h2>Dens</h2>" + REST)
    assert "Dens" in left_of(FIRST + teaser + "<h2>Dens</h2>" + REST)
    # In careless markup a heading stands over another of its level.
    assert "Over" in left_of(f"{FIRST}<h3>Over</h3><h3>Warning</h3>{REST}")


def test_where_trafilatura_took_little_all_stays() -> None:
    entries = "".join(f"<p>Entry {number} is one of many, and short.</p>" for number in range(40))
    text = left_of(FIRST + REST + entries)
    assert all(f"Entry {number} is" in text for number in range(40))


def test_caption_becomes_the_words_of_its_image() -> None:
    figure = (
        '<figure><img src="fox.jpg"><figcaption>A fox. <i>Photo: A.</i></figcaption></figure>'
        "<figure><pre>code</pre><figcaption>Listing 1</figcaption></figure>"
    )
    page = parse_page(
        f"<main>{FIRST}{figure}{REST}</main>".encode(),
        "https://example.com/a/",
        content_type=None,
        profile=Profile.FULL,
        extras=Extras(main_content=True),
    )
    markdown = page.extras["markdown"]
    assert isinstance(markdown, str)
    assert "![A fox. Photo: A.](https://example.com/a/fox.jpg)" in markdown
    assert markdown.count("A fox.") == 1
    assert "Listing 1" in markdown
