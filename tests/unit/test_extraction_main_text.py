"""The text of a page's main content."""

import pytest

from scraper.extraction import Profile, parse_page
from scraper.extraction.limits import MAX_TEXT_CHARS

PROSE = (
    "This sentence is here because a page with hardly any text is taken for an empty shell. " * 3
)
PROSE = PROSE.strip()


def text_of(markup: str) -> list[str]:
    page = parse_page(
        markup.encode(), "https://example.com/", content_type=None, profile=Profile.FULL
    )
    return page.text.split("\n")


def test_paragraphs_are_lines_with_single_blanks() -> None:
    assert (
        text_of("""<p>One <b>bold</b>
        <i>word</i>,<!-- not here --> and a<wbr>b.<div>Two<br>Three</div>Four<ul><li>Five
        <li><span>Six</span> <a href=x>linked words in the middle</a> of much more text</ul>""")
        == [
            "One bold word, and ab.",
            "Two",
            "Three",
            "Four",
            "Five",
            "Six linked words in the middle of much more text",
        ]
    )


def test_lines_of_preformatted_text_are_kept() -> None:
    assert text_of("<p>Run:<pre>make\n  test <b>all</b></pre>Done") == [
        "Run:",
        "make",
        "test all",
        "Done",
    ]


def test_what_is_not_shown_is_not_text() -> None:
    assert text_of("""<body aria-hidden="true"><p>seen<style>a{}</style><script>b</script>
        <noscript>c</noscript><template>d</template><p hidden>e</p><svg><title>f</title></svg>
        <select><option>g</select><textarea>h</textarea><div style="color:red;display:none">i</div>
        <p style="display: none">i</p>
        <span aria-hidden="true">j</span><iframe>k</iframe><button>l</button><!-- m -->""") == [
        "seen"
    ]


@pytest.mark.parametrize("start", ["<main>", "<div role=main>", "<article>"])
def test_main_element_is_the_main_content(start: str) -> None:
    assert text_of(f"""<header>Shop</header><nav><a href=/>Home</a></nav><div>Cookies!</div>{start}
        <header><h1>Shoes</h1></header><p>{PROSE}</p><aside>Related</aside>
        <footer>Share</footer></main></div></article><footer>Imprint</footer>""") == [
        "Shoes",
        PROSE,
    ]


def test_main_element_that_is_a_shell_is_not_the_main_content() -> None:
    assert text_of(f"<main>Loading…</main><div><p>{PROSE}</p></div>") == ["Loading…", PROSE]


def test_several_articles_are_all_content() -> None:
    assert text_of(f"<article><p>{PROSE}</article><article><p>Second</article>") == [
        PROSE,
        "Second",
    ]


def test_without_a_main_element_menus_are_left_out() -> None:
    assert text_of(f"""<div class=top><a href=/>Home</a> | <a href=/a>About</a></div>
        <ul><li><a href=/1>News</a><li><a href=/2>Sports</a></ul>
        <div role=navigation>You are <b>here</b></div>
        <h2><a href=/3>A linked heading</a></h2>
        <p>{PROSE} <a href=/4>more</a></p>
        <a href=/5><div>Card</div><p>{PROSE}</p></a>
        <p><a href=/6>Imprint</a></p>""") == [
        "A linked heading",
        f"{PROSE} more",
        PROSE,
    ]


def test_a_page_of_links_alone_keeps_them() -> None:
    assert text_of("<ul><li><a href=/1>News</a><li><a href=/2>Sports</a></ul>") == [
        "News",
        "Sports",
    ]


def test_pages_without_body_text_have_no_text() -> None:
    assert text_of("") == [""]
    assert text_of("<title>x</title>") == [""]
    assert text_of("<frameset><frame src=a></frameset>") == [""]


def test_long_text_is_cut() -> None:
    page = parse_page(
        b"<p>word " * 200_000, "https://example.com/", content_type=None, profile=Profile.FULL
    )
    assert len(page.text) == MAX_TEXT_CHARS
    assert page.truncated == {"text"}


def test_links_profile_reads_no_text() -> None:
    page = parse_page(
        f"<main>{PROSE}<img src=x><script type=application/ld+json>{{}}</script>".encode(),
        "https://example.com/",
        content_type=None,
        profile=Profile.LINKS,
    )
    assert (page.text, page.images, page.json_ld) == ("", [], [])
